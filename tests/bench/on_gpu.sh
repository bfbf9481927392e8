#!/usr/bin/env bash
# The measurements of BENCHMARKS.md that need a GPU, in the order of their worth; each step is bounded in time.
#
#     tests/bench/on_gpu.sh MODEL_DIR DATA_DIR OUT_DIR [STEP …]
#
# MODEL_DIR holds a model of Qwen2.5-14B's shape, DATA_DIR aime24.jsonl, math500.jsonl and mcq_sample.jsonl. Steps: cold, warm, bench,
# sweep, guide, defaults (all of them unless some are named), served (in this process, and of a server that stays loaded), many (the same
# with 768 requests at once), checkpoints (of MODEL_DIR-awq and MODEL_DIR-gptq), sampler, memory (runs that must not fail for want of it)
# and ablation, which is taken up where a call before ended. Caches of compiled kernels are emptied before `cold` and `defaults`.
set -uo pipefail

if [[ $# -lt 3 ]]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
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
    rm -rf "${out:?}/$name"
    begun=$(date +%s%N)
    timeout "$limit" "$python" -m llmbench "$@" "hydra.run.dir=$out/$name" > "$out/$name.txt" 2>&1
    echo "$name: status $?, $((($(date +%s%N) - begun) / 1000000)) ms"
    "$python" -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))["time_s"]))' "$out/$name/summary.json"
}

serve() { # NAME ARGUMENT…: serves until end_server
    local name=$1
    shift
    "$python" -m llmbench.serve "${on[@]}" "$@" > "$out/$name.txt" 2> "$out/$name.err" &
    server=$!
    until [[ -s $out/$name.txt ]] || ! kill -0 "$server" 2> /dev/null; do sleep 0.5; done
    tail -1 "$out/$name.err"
}

end_server() {
    kill -TERM "$server" # a shell starts what it puts into the background with SIGINT ignored
    wait "$server"
    echo "server: status $?"
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
        served)
            llmbench in_process 150 "${guide[@]}" "${on[@]}" "${fixed[@]}"
            llmbench in_process_warm 150 "${guide[@]}" "${on[@]}" "${fixed[@]}"
            serve server
            for turn in 1 2 3; do llmbench "served_$turn" 60 engine=endpoint "${guide[@]}" "${on[@]}" "${fixed[@]}"; done
            end_server
            ;;
        many)
            many=(benchmark=math "benchmarks.math.data_files=$data/math500.jsonl" benchmarks.math.{num_samples=500,repeats=3,max_tokens=128}
                sampling.temperature=1 model.quantization=null batch_size=768 report=false "${on[@]}" "${fixed[@]}")
            llmbench many_in_process 200 engine.startup=graphs "${many[@]}"
            serve many_server engine.startup=graphs model.quantization=null batch_size=768
            for turn in 1 2; do llmbench "many_served_$turn" 120 engine=endpoint "${many[@]}"; done
            end_server
            "$python" -c 'import llmbench, sys
for folder in sys.argv[1:]: print(folder, llmbench.load_run(folder).summary.benchmarks["math"].throughput)' "$out"/many_{in_process,served_1,served_2}
            ;;
        checkpoints)
            for format in awq gptq; do
                timeout 150 "$python" -m tests.bench --rounds 1 --requests 768 --longest 192 "model=qwen14b_$format" \
                    "model.path=$model-$format" batch_size=null engine.startup=graphs 2>&1 |
                    tee "$out/bench_$format.txt" | tail -6
            done
            ;;
        sampler) "$python" -m tests.bench.sampler_cost | tee "$out/sampler.json" ;;
        memory)
            short=(benchmark=arithmetic limit=32 benchmarks.arithmetic.max_tokens=16 "${on[@]}" "${fixed[@]}")
            beside() { # LEAVE_MIB AFTER_MIB NAME ARGUMENT…
                local taker leave=$1 after=$2
                shift 2
                "$python" -m tests.bench.take_gpu_memory "$leave" "$after" > "$out/$1.taken" 2>&1 &
                taker=$!
                sleep 5
                llmbench "$1" 150 "${short[@]}" "${@:2}"
                grep -E "trying again|llmbench:" "$out/$1.txt"
                kill -9 "$taker"
                wait "$taker" 2> /dev/null
            }
            beside 60000 0 taken engine.startup=eager model.gpu_memory_utilization=0.99
            beside 60 30000 capture engine.startup=graphs model.gpu_memory_utilization=0.5
            llmbench context 150 "${short[@]}" engine.startup=eager model.quantization=null model.max_length=32768 \
                model.gpu_memory_utilization=0.42
            llmbench batch 150 "${short[@]}" limit=null benchmarks.arithmetic.num_samples=200 \
                benchmarks.arithmetic.max_tokens=128 engine=transformers max_batch_size=128 model.gpu_memory_utilization=0.15
            grep -E "trying again|llmbench:" "$out/context.txt" "$out/batch.txt"
            ;;
        ablation)
            points=llmbench,vllm,all_together,before,larger_batches,shorter_outputs,fewer_samples,dynamic_batching
            timeout "${ABLATION_S:-560}" "$python" -m llmbench ablation=guide "+ablation/point=$points" "${guide[@]}" "${on[@]}" "${fixed[@]}" \
                benchmarks.{aime,math,gpqa}.profiles.before.max_tokens=64 benchmarks.{aime,math}.profiles.documented.max_tokens=32 \
                benchmarks.gpqa.profiles.documented.max_tokens=16 "resume=$out/ablation" > "$out/ablation.txt" 2>&1
            tail -32 "$out/ablation.txt"
            ;;
        *) echo "there is no step called $step" >&2 ;;
    esac
done
