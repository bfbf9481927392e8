#!/usr/bin/env bash
# The same GSM8K rows through llmbench and lm-evaluation-harness in turn, from command to prompt, each going first in every other round. Ratio first.
#
#     tests/bench/beside_lm_eval.sh ROUNDS MODEL_DIR ROWS.jsonl [argument of llmbench …]
#
# COUNT (48), MAX_TOKENS (128), DTYPE, VLLM_ARGS (of the harness) and PYTHON (.venv/bin/python here, else python3) in the environment; the harness is
# lm-eval of that Python, or of a folder that PYTHONPATH ends with (pack_lm_eval.py). llmbench stops no text early and writes no report.
set -euo pipefail

if [[ $# -lt 3 ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
rounds=$1 model=$(realpath "$2") rows=$(realpath "$3")
shift 3
root=$(realpath "$(dirname "$0")/../..")
python=python3
if [[ -x $root/.venv/bin/python ]]; then python=$root/.venv/bin/python; fi
python=${PYTHON:-$python}
export COUNT=${COUNT:-48} MAX_TOKENS=${MAX_TOKENS:-128} PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
head -n "$COUNT" "$rows" > "$folder/rows.jsonl"

llmbench() { # ROUND ARGUMENT…
    "$python" -m llmbench benchmark=gsm8k "model.path=$model" "benchmarks.gsm8k.data_files=$folder/rows.jsonl" "benchmarks.gsm8k.num_samples=$COUNT" \
        "benchmarks.gsm8k.max_tokens=$MAX_TOKENS" early_stopping=off report=false "hydra.run.dir=$folder/$1" "${@:2}"
}
harness() { # ROUND
    "$root/tests/bench/lm_eval_gsm8k.sh" "$python" "$model" "$folder/rows.jsonl"
}
timed() { # SIDE ROUND ARGUMENT…
    local begun=$EPOCHREALTIME
    "$@" > "$folder/said" 2>&1 || { tail -n 30 "$folder/said" >&2; exit 1; }
    awk "BEGIN { printf \"%.1f\n\", $EPOCHREALTIME - $begun }" >> "$folder/$1.s"
}

for ((round = 0; round < rounds; round++)); do
    if ((round % 2)); then timed harness "$round"; fi
    timed llmbench "$round" "$@"
    if ((round % 2 == 0)); then timed harness "$round"; fi
done
"$python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path
from statistics import median

both = [[float(line) for line in Path(sys.argv[1], f"{side}.s").read_text().split()] for side in ("llmbench", "harness")]
print(f"llmbench / lm-evaluation-harness: {median(both[0]) / median(both[1]):.2f} (ratio of the medians)")
for name, seconds in zip(("llmbench", "lm-evaluation-harness"), both):
    print(f"{name}: {', '.join(f'{each:.1f}' for each in seconds)} s")
PYTHON
