r"""How answers are stated in languages other than English: one table of words, for every extractor.

To add a language, add a row. A word of a language that puts no space between words needs no `\b`.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """A language's words as parts of regular expressions; an empty one never occurs."""

    answer: str
    option: str = ""
    is_: str = ""
    not_: str = ""
    because: str = ""
    behind: str = ""
    """What makes a sentence of an answer in front of it: "C입니다"."""
    but: str = ""
    """What stands between a denied answer and the right one: "不是A，而是B"."""


_TABLE = {
    "Arabic": Words("(?:ال)?[إا]جابة|(?:ال)?جواب", r"ال(?:خيار|حرف)", "هي|هو", r"\bليست?\b|خاطئة", "لأن"),
    "Bengali": Words("উত্তর", "বিকল্প", "হলো|হল|ঃ", "নয়|ভুল", "কারণ"),
    "Chinese": Words("答案|答复|答(?=:)", "选项|選項", "应该?是|應該?是|是|为|為", "不|非|错误?|錯誤?", "因为|因為", but="而是"),
    "Czech": Words(r"odpověď\b", r"možnost\b", r"\bje\b", r"\bnení\b|\bšpatná\b", r"protože\b"),
    "Dutch": Words(r"antwoord\b", r"optie\b", "", r"\bniet\b|\bfout\w*", r"omdat\b", but=r"maar\b"),
    "French": Words(r"réponse\b|option\s+correcte\b", r"(?:l['’]option|lettre|la|proposition)\b", r"\best\b", r"\bpas\b|\bmauvaise\b|\bfausse\b", r"parce\b", but=r"mais\b|c['’]est\b"),
    "German": Words(r"antwort\b|lösung\b|richtig(?=\s+ist\b)", r"(?:antwort|buchstabe|möglichkeit)\b", r"\b(?:ist|lautet)\b", r"\bnicht\b|\bkein\w*|\bfalsche\w*", r"weil\b", but=r"sondern\b"),
    "Greek": Words(r"απάντηση\b", r"επιλογή\b", r"\bείναι\b", r"\bδεν\b|\bλάθος\b", r"γιατί\b"),
    "Hebrew": Words("תשובה", "אפשרות", "היא", r"\bלא\b|\bאינה\b", "כי"),
    "Hindi": Words("उत्तर|जवाब", "विकल्प", r"है(?=\s*:)|यह", "नहीं|गलत", "क्योंकि", "हैं?"),
    "Indonesian": Words(r"jawab(?:an|annya)\b|jawapan\b", r"(?:pilihan|opsi|huruf)\b", r"\b(?:adalah|ialah|yaitu)\b", r"\bbukan\w*|\bsalah\b", r"karena\b|kerana\b", but=r"melainkan\b|tetapi\b"),
    "Italian": Words(r"risposta\b|opzione\s+corretta\b", r"(?:lettera|opzione|la)\b", r"\b[èé]\b", r"\bnon\b|\bsbagliata\b", r"perché\b", but=r"ma\b|bensì\b"),
    "Japanese": Words("答え|解答|正解|回答", "選択肢", "は", "不正解|ない|なく|誤", "なぜなら", "です|である", "(?:では|じゃ)なく(?:て)?"),
    "Korean": Words("정답|답변|답", "선택지|보기|옵션", "은|는", "아니|아닙|오답|틀린", "왜냐", "입니다|이다", "[이가]?\\s*아니라|[이가]?\\s*아니고"),
    "Persian": Words("پاسخ", "گزینه", "برابر", "نیست|غلط", "زیرا"),
    "Polish": Words(r"odpowied(?:ź|zią)\b", r"opcja\b", r"\bjest\b", r"\bnie\b|\bbłędna\b", r"ponieważ\b", but=r"(?:lecz|ale|tylko)\b"),
    "Portuguese": Words(r"resposta\b|gabarito\b|(?:opção|alternativa)\s+correta\b", r"(?:a\s+)?(?:letra|opção|alternativa)\b", r"\bé\b", r"\bnão\b|\berrada\b|\bincorreta\b", r"pois\b|porque\b", but=r"(?:mas|e)\s+sim\b|mas\b"),
    "Russian": Words(r"ответ\b", r"(?:вариант|буква|пункт)\b", r"\b(?:является|это|будет)\b", r"\bне\b|\bнев\w+|\bнеправ\w+", r"потому\b", but=r"а\b"),
    "Spanish": Words(r"respuesta\b|(?:opción|alternativa)\s+correcta\b", r"(?:letra|opción|la)\b", r"\b(?:es|sería)\b", r"\bno\s*$|\bincorrecta\b", r"porque\b", but=r"sino\b"),
    "Swahili": Words(r"jibu\b"),
    "Swedish": Words(r"svar(?:et)?\b", r"alternativ\b", r"\bär\b", r"\binte\b|\bfel\b", r"eftersom\b", but=r"utan\b"),
    "Thai": Words("คำตอบ", "ข้อ|ตัวเลือก", "คือ", "ไม่|ผิด", "เพราะ"),
    "Turkish": Words(r"(?:cevap|cevabı|yanıt)\b", r"(?:şık|seçenek)\b", "", r"\bdeğil\w*|\byanlış\b", r"çünkü\b", but=r"değil\b"),
    "Ukrainian": Words(r"відповідь\b", r"варіант\b", r"\bце\b", r"\bнеправ\w+", r"тому\b"),
    "Urdu": Words("جواب", "آپشن", r"ہے(?=\s*:)", "نہیں|غلط", "کیونکہ"),
    "Vietnamese": Words(r"(?:đáp\s+án|câu\s+trả\s+lời|trả\s+lời)\b", r"(?:phương\s+án|lựa\s+chọn)\b", r"\blà\b", r"\bkhông\b|\bsai\b", r"vì\b", but=r"mà\b"),
}  # fmt: skip


def _any(field: str) -> str:
    return "|".join(word for words in _TABLE.values() if (word := getattr(words, field)))


ANSWER, OPTION, IS, NOT, BECAUSE, BEHIND, BUT = (_any(field) for field in Words._fields)
"""Each column of the table as one alternative of a regular expression, to be put in a group."""
