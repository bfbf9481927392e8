#!/usr/bin/env bash
# Fetches the JavaScript and fonts that report.html carries, from the npm registry, into llmbench/report/assets/vendor.
# They are kept in the repository, so only who wants newer ones runs this: raise a version, and write down its new checksum.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGES=(
    "plotly.js-basic-dist-min 4.1.1 ea907f854b6cec4f6a2fa71540ec019a21ed2c61e6a109ddd5c072103a96eed0"
    "katex 0.19.1 24da5a599eb2fcede2e270b99a6ff48bca816beecc95feeb84e8cccbd1bb34fd"
    "@highlightjs/cdn-assets 11.12.0 b8a006d30f45afe783072569f3d69c5b60c0e7b9ca28cd474e12f2584e2a3bd9"
)
readonly TARGET=llmbench/report/assets/vendor

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$TARGET"
for entry in "${PACKAGES[@]}"; do
    read -r name version checksum <<<"$entry"
    (cd "$scratch" && npm pack --silent "$name@$version" >name.txt)
    archive=$scratch/$(<"$scratch/name.txt")
    printf '%s  %s\n' "$checksum" "$archive" | sha256sum --check --quiet
    folder=$scratch/$(basename "$name")
    mkdir "$folder"
    tar xzf "$archive" -C "$folder" --strip-components=1
done

cp "$scratch/plotly.js-basic-dist-min/plotly-basic.min.js" "$TARGET/plotly.js"
cp "$scratch/cdn-assets/highlight.min.js" "$TARGET/highlight.js"
cp "$scratch/katex/dist/katex.min.js" "$TARGET/katex.js"
cp "$scratch/katex/dist/contrib/auto-render.min.js" "$TARGET/auto-render.js"
python3 - "$scratch/katex/dist" "$TARGET/katex.css" <<'PYTHON'
import base64, pathlib, re, sys

folder, target = map(pathlib.Path, sys.argv[1:])


def inline(match: re.Match[str]) -> str:
    font = base64.b64encode((folder / match[1]).read_bytes()).decode()
    return f'src:url(data:font/woff2;base64,{font}) format("woff2")'


css = (folder / "katex.min.css").read_text()
target.write_text(re.sub(r'src:url\(([^)]+\.woff2)\) format\("woff2"\)[^}]*', inline, css))
PYTHON
{
    for entry in "${PACKAGES[@]}"; do
        read -r name version _ <<<"$entry"
        printf '%s %s\n\n' "$name" "$version"
        cat "$scratch/$(basename "$name")/LICENSE"
        printf '\n'
    done
} >"$TARGET/LICENSES.txt"
ls -l "$TARGET"
