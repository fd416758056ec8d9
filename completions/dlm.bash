# bash completion of dlm; made from its option tables (tools/dev/make_manual).
_dlm_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_dlm_paths() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}
_dlm_documents() {
    compopt -o filenames 2> /dev/null
    mapfile -t COMPREPLY < <(compgen -f -X '!*.dlm' -- "$cur"; compgen -d -- "$cur")
}
_dlm_bases() { _dlm_words "$("$program" bases --keys 2> /dev/null)"; }
_dlm_versions() { _dlm_words "$("$program" use "$document" --keys 2> /dev/null)"; }

_dlm() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local program=${COMP_WORDS[0]} command= operand=1 document= i
    COMPREPLY=()
    # bash makes a word of the = in --name=value
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --home) ((i++)) ;;
        --threads) ((i++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    # which of the command's operands this is
    for ((i++; i < COMP_CWORD; i++)); do
        case $command:${COMP_WORDS[i]} in
        : \
            | init:--base | init:--mmproj \
            | train:--seed | train:--max-steps | train:--phase | train:--init-adapter | train:--save-every | train:--ask | train:--adapter-names | train:--image-size | train:--gradient-checkpointing | train:--backend | train:--device | train:--precision | train:--quant | train:--quant-scope | train:--max-memory \
            | prompt:--image | prompt:--system | prompt:--chat | prompt:--max-tokens | prompt:--temp | prompt:--top-p | prompt:--seed | prompt:--adapter-version | prompt:--adapter | prompt:--base | prompt:--mmproj | prompt:--image-size | prompt:--backend | prompt:--device | prompt:--precision | prompt:--quant | prompt:--quant-scope | prompt:--max-memory \
            | tokenize:--base | tokenize:--mmproj | tokenize:--tokenizer | tokenize:--image | tokenize:--prompt | tokenize:--target | tokenize:--system | tokenize:--chat | tokenize:--image-size \
            | preprocess:--base | preprocess:--mmproj | preprocess:--image | preprocess:--out | preprocess:--image-size \
            | score:--base | score:--mmproj | score:--adapter | score:--adapter-version | score:--image | score:--prompt | score:--target | score:--system | score:--chat | score:--gradients | score:--image-size | score:--backend | score:--device | score:--precision | score:--quant | score:--quant-scope | score:--max-memory \
            | bench:--base | bench:--mmproj | bench:--shape | bench:--layers | bench:--prompt-tokens | bench:--decode-tokens | bench:--batch | bench:--repeat | bench:--tune-seconds | bench:--backend | bench:--device | bench:--precision | bench:--quant | bench:--quant-scope | bench:--max-memory \
            | doctor:--base | doctor:--mmproj | doctor:--batch | doctor:--seq | doctor:--image | doctor:--prompt | doctor:--image-size | doctor:--backend | doctor:--device | doctor:--precision | doctor:--quant | doctor:--quant-scope | doctor:--max-memory | doctor:--after | doctor:--limit \
            | export:--out | export:--precision | export:--quant | export:--name | export:--i-am-the-licensee | export:--adapter-version | export:--backend | export:--device \
            | import:--document \
            | pull:--revision | pull:--jobs | pull:--retries | pull:--timeout \
            | cache:--older-than \
            | *:--home | *:--threads)
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++)) ;;
        *:-*) ;;
        *)
            # the words are as they were typed
            [[ $operand == 1 ]] && document=${COMP_WORDS[i]//[\\\'\"]/}
            ((operand++)) ;;
        esac
    done
    document=${document/#\~\//$HOME/}
    case $command:$prev in
    init:--base) _dlm_bases; return ;;
    init:--mmproj) _dlm_paths -f; return ;;
    train:--seed) :; return ;;
    train:--max-steps) :; return ;;
    train:--phase) _dlm_words "all sft preference"; return ;;
    train:--init-adapter) _dlm_paths -d; return ;;
    train:--save-every) :; return ;;
    train:--ask) :; return ;;
    train:--adapter-names) _dlm_words "v5 v4"; return ;;
    train:--image-size) _dlm_words "pinned native"; return ;;
    train:--gradient-checkpointing) _dlm_words "document on off"; return ;;
    train:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    train:--device) :; return ;;
    train:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    train:--quant) _dlm_words "auto none q8_0 nf4 nf4_dq"; return ;;
    train:--quant-scope) _dlm_words "auto decoder linears all"; return ;;
    train:--max-memory) :; return ;;
    prompt:--image) _dlm_paths -f; return ;;
    prompt:--system) :; return ;;
    prompt:--chat) _dlm_paths -f; return ;;
    prompt:--max-tokens) :; return ;;
    prompt:--temp) :; return ;;
    prompt:--top-p) :; return ;;
    prompt:--seed) :; return ;;
    prompt:--adapter-version) _dlm_versions; return ;;
    prompt:--adapter) _dlm_paths -d; return ;;
    prompt:--base) _dlm_bases; return ;;
    prompt:--mmproj) _dlm_paths -f; return ;;
    prompt:--image-size) _dlm_words "pinned native"; return ;;
    prompt:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    prompt:--device) :; return ;;
    prompt:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    prompt:--quant) _dlm_words "auto none q8_0 nf4 nf4_dq"; return ;;
    prompt:--quant-scope) _dlm_words "auto decoder linears all"; return ;;
    prompt:--max-memory) :; return ;;
    tokenize:--base) _dlm_bases; return ;;
    tokenize:--mmproj) _dlm_paths -f; return ;;
    tokenize:--tokenizer) _dlm_paths -f; return ;;
    tokenize:--image) _dlm_paths -f; return ;;
    tokenize:--prompt) :; return ;;
    tokenize:--target) :; return ;;
    tokenize:--system) :; return ;;
    tokenize:--chat) _dlm_paths -f; return ;;
    tokenize:--image-size) _dlm_words "pinned native"; return ;;
    preprocess:--base) _dlm_bases; return ;;
    preprocess:--mmproj) _dlm_paths -f; return ;;
    preprocess:--image) _dlm_paths -f; return ;;
    preprocess:--out) _dlm_paths -f; return ;;
    preprocess:--image-size) _dlm_words "pinned native"; return ;;
    score:--base) _dlm_bases; return ;;
    score:--mmproj) _dlm_paths -f; return ;;
    score:--adapter) _dlm_paths -d; return ;;
    score:--adapter-version) _dlm_versions; return ;;
    score:--image) _dlm_paths -f; return ;;
    score:--prompt) :; return ;;
    score:--target) :; return ;;
    score:--system) :; return ;;
    score:--chat) _dlm_paths -f; return ;;
    score:--gradients) _dlm_paths -f; return ;;
    score:--image-size) _dlm_words "pinned native"; return ;;
    score:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    score:--device) :; return ;;
    score:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    score:--quant) _dlm_words "auto none q8_0 nf4 nf4_dq"; return ;;
    score:--quant-scope) _dlm_words "auto decoder linears all"; return ;;
    score:--max-memory) :; return ;;
    bench:--base) _dlm_bases; return ;;
    bench:--mmproj) _dlm_paths -f; return ;;
    bench:--shape) :; return ;;
    bench:--layers) :; return ;;
    bench:--prompt-tokens) :; return ;;
    bench:--decode-tokens) :; return ;;
    bench:--batch) :; return ;;
    bench:--repeat) :; return ;;
    bench:--tune-seconds) :; return ;;
    bench:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    bench:--device) :; return ;;
    bench:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    bench:--quant) _dlm_words "auto none q8_0 nf4 nf4_dq"; return ;;
    bench:--quant-scope) _dlm_words "auto decoder linears all"; return ;;
    bench:--max-memory) :; return ;;
    doctor:--base) _dlm_bases; return ;;
    doctor:--mmproj) _dlm_paths -f; return ;;
    doctor:--batch) :; return ;;
    doctor:--seq) :; return ;;
    doctor:--image) _dlm_paths -f; return ;;
    doctor:--prompt) :; return ;;
    doctor:--image-size) _dlm_words "pinned native"; return ;;
    doctor:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    doctor:--device) :; return ;;
    doctor:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    doctor:--quant) _dlm_words "auto none q8_0 nf4 nf4_dq"; return ;;
    doctor:--quant-scope) _dlm_words "auto decoder linears all"; return ;;
    doctor:--max-memory) :; return ;;
    doctor:--after) :; return ;;
    doctor:--limit) :; return ;;
    export:--out) if [[ " ${COMP_WORDS[*]} " == *" --tar "* ]]; then _dlm_paths -f; else _dlm_paths -d; fi; return ;;
    export:--precision) _dlm_words "auto fp32 bf16 fp16"; return ;;
    export:--quant) _dlm_words "none f16 bf16 f32 q8_0 q6_k q5_k_m q4_k_m q4_0"; return ;;
    export:--name) :; return ;;
    export:--i-am-the-licensee) :; return ;;
    export:--adapter-version) _dlm_versions; return ;;
    export:--backend) _dlm_words "auto cpu opencl vulkan"; return ;;
    export:--device) :; return ;;
    import:--document) _dlm_documents; return ;;
    pull:--revision) :; return ;;
    pull:--jobs) :; return ;;
    pull:--retries) :; return ;;
    pull:--timeout) :; return ;;
    cache:--older-than) :; return ;;
    *:--home) _dlm_paths -d; return ;;
    *:--threads) :; return ;;
    esac
    case $command:$operand:$cur in
    :*:-*) _dlm_words "--help --home --threads --verbose --quiet --version" ;;
    :*:*) _dlm_words "init train prompt show migrate tokenize preprocess score bench doctor use export import bases pull list rm cache verify-store" ;;
    init:*:-*) _dlm_words "--help --base --mmproj --multimodal --i-accept-license --force --new-id --home --threads --verbose --quiet --version" ;;
    init:1:*) _dlm_documents ;;
    train:*:-*) _dlm_words "--help --resume --fresh --seed --max-steps --phase --strict-lock --update-lock --ignore-lock --force --i-accept-license --skip-bad-images --take-over --init-adapter --save-every --ask --adapter-names --image-size --gradient-checkpointing --backend --device --no-matrix-units --precision --quant --quant-scope --max-memory --home --threads --verbose --quiet --version" ;;
    train:1:*) _dlm_documents ;;
    prompt:*:-*) _dlm_words "--help --image --system --chat --max-tokens --temp --top-p --seed --no-adapter --adapter-version --adapter --base --mmproj --image-size --backend --device --no-matrix-units --precision --quant --quant-scope --max-memory --home --threads --verbose --quiet --version" ;;
    prompt:1:*) _dlm_documents ;;
    prompt:2:*) : ;;
    show:*:-*) _dlm_words "--help --json --home --threads --verbose --quiet --version" ;;
    show:1:*) _dlm_documents ;;
    migrate:*:-*) _dlm_words "--help --dry-run --no-backup --home --threads --verbose --quiet --version" ;;
    migrate:1:*) _dlm_documents ;;
    tokenize:*:-*) _dlm_words "--help --base --mmproj --tokenizer --image --prompt --target --system --chat --image-size --raw --json --home --threads --verbose --quiet --version" ;;
    tokenize:1:*) : ;;
    preprocess:*:-*) _dlm_words "--help --base --mmproj --image --out --image-size --home --threads --verbose --quiet --version" ;;
    score:*:-*) _dlm_words "--help --base --mmproj --adapter --adapter-version --image --prompt --target --system --chat --gradients --json --image-size --backend --device --no-matrix-units --precision --quant --quant-scope --max-memory --home --threads --verbose --quiet --version" ;;
    score:1:*) _dlm_documents ;;
    bench:*:-*) _dlm_words "--help --base --mmproj --shape --layers --prompt-tokens --decode-tokens --batch --repeat --explain --limits --tune --tune-seconds --plan --json --backend --device --no-matrix-units --precision --quant --quant-scope --max-memory --home --threads --verbose --quiet --version" ;;
    doctor:*:-*) _dlm_words "--help --ops --try --probe --verify --base --mmproj --batch --seq --time --image --prompt --image-size --backend --device --no-matrix-units --precision --quant --quant-scope --max-memory --after --limit --json --home --threads --verbose --quiet --version" ;;
    doctor:1:*) _dlm_documents ;;
    use:*:-*) _dlm_words "--help --list --keys --home --threads --verbose --quiet --version" ;;
    use:1:*) _dlm_documents ;;
    use:2:*) _dlm_versions ;;
    export:*:-*) _dlm_words "--help --out --tar --merged --precision --quant --name --skip-ollama --gguf-anyway --no-template --adapter-only --i-am-the-licensee --adapter-version --matrix --no-verify --backend --device --no-matrix-units --json --home --threads --verbose --quiet --version" ;;
    export:1:*) _dlm_documents ;;
    import:*:-*) _dlm_words "--help --document --any-base --home --threads --verbose --quiet --version" ;;
    import:1:*) _dlm_paths -d ;;
    bases:*:-*) _dlm_words "--help --all --json --keys --home --threads --verbose --quiet --version" ;;
    pull:*:-*) _dlm_words "--help --revision --jobs --retries --timeout --home --threads --verbose --quiet --version" ;;
    pull:1:*) _dlm_bases ;;
    list:*:-*) _dlm_words "--help --json --home --threads --verbose --quiet --version" ;;
    rm:*:-*) _dlm_words "--help --cache --store --yes --home --threads --verbose --quiet --version" ;;
    rm:1:*) _dlm_documents ;;
    rm:2:*) _dlm_versions ;;
    cache:*:-*) _dlm_words "--help --json --older-than --yes --force --home --threads --verbose --quiet --version" ;;
    cache:1:*) _dlm_words "show prune clear" ;;
    cache:2:*) _dlm_documents ;;
    verify-store:*:-*) _dlm_words "--help --all --repair --json --home --threads --verbose --quiet --version" ;;
    verify-store:1:*) _dlm_documents ;;
    esac
}
complete -F _dlm dlm
