#!/usr/bin/env bash
# Builds the release and tries it as somebody who has only the wheel: versions that agree, a dated changelog, metadata that PyPI takes,
# the wheel in an environment of its own, a run from another folder. EXTRAS=cpu,mlflow installs those extras and makes a real run.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() {
    printf 'release: %s\n' "$*" >&2
    exit 1
}

version=$(.venv/bin/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
[[ $(.venv/bin/python -c 'from llmbench._version import __version__; print(__version__)') == "$version" ]] ||
    fail "pyproject.toml says $version and llmbench/_version.py does not"
grep -qE "^## $version \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$" CHANGELOG.md || fail "CHANGELOG.md has no dated heading for $version"
[[ -z $(git status --porcelain) ]] || fail "there are changes that are not committed"

rm -rf dist
.venv/bin/python -m build --no-isolation --outdir dist >/dev/null
wheel=$(echo dist/llmbench-"$version"-*.whl)
[[ -f $wheel && -f dist/llmbench-$version.tar.gz ]] || fail "dist/ lacks the wheel or the source of $version"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/uv venv -q --python "$(readlink -f .venv/bin/python)" "$scratch/venv"
extras=${EXTRAS:-} links=() others=()
for place in ${PIP_FIND_LINKS:-}; do links+=(--find-links "$place"); done
if [[ ,$extras, == *,cpu,* ]]; then others=(-r requirements/model.in -r requirements/cpu.in); fi
.venv/bin/uv pip install -q --python "$scratch/venv/bin/python" --compile-bytecode "${links[@]}" --constraints requirements/cpu.txt \
    --overrides requirements/overrides.txt --overrides requirements/cpu-overrides.txt "${others[@]}" "$wheel${extras:+[$extras]}"

mkdir "$scratch/home" "$scratch/elsewhere"
run() { (cd "$scratch/elsewhere" && env -i HOME="$scratch/home" PATH="$PATH" "$scratch/venv/bin/llmbench" "$@"); }
[[ $(run --version) == *"$version"* ]] || fail "the installed llmbench says another version"
if [[ -n ${others[*]} ]]; then
    run
else
    run engine=fake limit=3
fi
if [[ ,$extras, == *,mlflow,* ]]; then run limit=8 tracker=mlflow; fi
say "Built and tried: $wheel, dist/llmbench-$version.tar.gz"
