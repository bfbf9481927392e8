#!/usr/bin/env bash
# The measurements of BENCHMARKS.md that need a GPU, in the order of their worth; each step is bounded in time.
#
#     tests/bench/on_gpu.sh MODEL_DIR DATA_DIR OUT_DIR [STEP …]
#
# MODEL_DIR holds a model of Qwen2.5-14B's shape, DATA_DIR aime24.jsonl, math500.jsonl and mcq_sample.jsonl. Steps: cold, warm, bench,
# sweep, guide, defaults (all of them unless some are named), and checkpoints (of MODEL_DIR-awq and MODEL_DIR-gptq). Caches of compiled
# kernels are emptied before `cold` and `defaults`.
set -uo pipefail

if [[ $# -lt 3 ]]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
model=$1 data=$2 out=$3
shift 3
steps=("$@")
if [[ ${#steps[@]} -eq 0 ]]; then steps=(cold warm bench sweep guide defaults); fi
mkdir -p "$out"
python=${PYTHON:-python3}
guide=("benchmark=[aime,math,gpqa]" "benchmarks.aime.data_files=$data/aime24.jsonl"
    "benchmarks.math.data_files=$data/math500.jsonl" "benchmarks.gpqa.data_files=$data/mcq_sample.jsonl")
fixed=(early_stopping=cut sampling.ignore_eos=true)
on=(model=qwen14b "model.path=$model")

empty_caches() {
    rm -rf ~/.cache/vllm ~/.triton ~/.cache/flashinfer ~/.nv /tmp/torchinductor_*
}

llmbench() { # NAME LIMIT_S ARGUMENT…
    local name=$1 limit=$2 begun
    shift 2
    begun=$(date +%s%N)
    timeout "$limit" "$python" -m llmbench "$@" "hydra.run.dir=$out/$name" > "$out/$name.txt" 2>&1
    echo "$name: status $?, $((($(date +%s%N) - begun) / 1000000)) ms"
    "$python" -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))["time_s"]))' "$out/$name/summary.json"
}

for step in "${steps[@]}"; do
    echo "== $step"
    case $step in
        cold)
            empty_caches
            llmbench cold 120 "${guide[@]}" "${on[@]}" "${fixed[@]}"
            ;;
        warm) llmbench warm 90 "${guide[@]}" "${on[@]}" "${fixed[@]}" ;;
        bench)
            for quantization in bitsandbytes null fp8; do
                timeout 150 "$python" -m tests.bench --rounds 2 --requests 768 --longest 192 "${on[@]}" batch_size=null \
                    engine.startup=graphs "model.quantization=$quantization" 2>&1 | tee "$out/bench_$quantization.txt" | tail -6
            done
            ;;
        sweep)
            timeout 240 "$python" -m llmbench -m benchmark=arithmetic limit=64 benchmarks.arithmetic.max_tokens=32 "${on[@]}" \
                "${fixed[@]}" model.quantization=bitsandbytes,fp8 batch_size=4,8,16,32,64,128 \
                "hydra.sweep.dir=$out/sweep" > "$out/sweep.txt" 2>&1
            tail -20 "$out/sweep.txt"
            ;;
        guide)
            for size in 4 8; do
                timeout 200 "$python" -m tests.bench.transformers_batches "$model" --requests 25x128+15x64 \
                    --quantization bitsandbytes --batch-size "$size" 2> "$out/guide_$size.err" | tail -1 | tee "$out/guide_$size.json"
            done
            ;;
        defaults)
            empty_caches
            for state in cold warm; do
                timeout 240 "$python" -m tests.bench.bare_vllm "$model" --requests 25x128+15x64 --quantization bitsandbytes \
                    2> "$out/defaults_$state.err" | grep '^{' | tee "$out/defaults_$state.json"
            done
            ;;
        checkpoints)
            for format in awq gptq; do
                timeout 150 "$python" -m tests.bench --rounds 1 --requests 768 --longest 192 "model=qwen14b_$format" \
                    "model.path=$model-$format" batch_size=null engine.startup=graphs 2>&1 |
                    tee "$out/bench_$format.txt" | tail -6
            done
            ;;
        *) echo "there is no step called $step" >&2 ;;
    esac
done
