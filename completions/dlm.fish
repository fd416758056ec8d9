# fish completion of dlm; made from its option tables (tools/dev/make_manual).
function __dlm_is
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --home --threads
                set skip 1
            case '-*'
            case '*'
                test "$word" = "$argv[1]"
                return
        end
    end
    test (count $argv) = 0
end
function __dlm_document
    string match -- '*.dlm' (commandline -opc)[2..-1] | head -n 1 | grep .
end
function __dlm_target
    set -l word (commandline -ct | string replace -r -- '^--[^=]*=' '')
    if contains -- --tar (commandline -o)
        __fish_complete_path $word
    else
        __fish_complete_directories $word
    end
end
complete -c dlm -f
complete -c dlm -l home -d 'folder of stores and caches' -x -a '(__fish_complete_directories)'
complete -c dlm -l threads -d 'CPU threads' -x
complete -c dlm -s v -l verbose -d 'say more'
complete -c dlm -s q -l quiet -d 'say nothing but errors and warnings'
complete -c dlm -l version -d 'print the version'
complete -c dlm -s h -l help -d 'print this help'
complete -c dlm -n __dlm_is -a init -d 'Write a new document and make its store.'
complete -c dlm -n '__dlm_is init' -l base -d 'base model: a registry key, hf:org/name, dir:PATH or gguf:PATH (default: tiny-shapes, with --multimodal paligemma-3b-mix-224)' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is init' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is init' -l multimodal -d 'a document with images'
complete -c dlm -n '__dlm_is init' -l i-accept-license -d 'accept the licence of a gated base'
complete -c dlm -n '__dlm_is init' -l force -d 'overwrite an existing document'
complete -c dlm -n '__dlm_is init' -l new-id -d 'give an existing document, as a copied one, a new dlm_id and a store of its own'
complete -c dlm -n '__dlm_is init' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a train -d 'Train an adapter for a document.'
complete -c dlm -n '__dlm_is train' -l resume -d 'go on with the interrupted run, else from the current adapter'
complete -c dlm -n '__dlm_is train' -l fresh -d 'start from a new adapter (the default)'
complete -c dlm -n '__dlm_is train' -l seed -d 'random seed' -x
complete -c dlm -n '__dlm_is train' -l max-steps -d 'stop after N steps' -x
complete -c dlm -n '__dlm_is train' -l phase -d 'what to train; preference is not supported yet' -x -a 'all sft preference'
complete -c dlm -n '__dlm_is train' -l strict-lock -d 'any difference from dlm.lock is an error'
complete -c dlm -n '__dlm_is train' -l update-lock -d 'do not check dlm.lock; write it anew'
complete -c dlm -n '__dlm_is train' -l ignore-lock -d 'neither check nor write dlm.lock'
complete -c dlm -n '__dlm_is train' -l force -d 'train where dlm refuses and lets itself be overridden: dlm doctor says'
complete -c dlm -n '__dlm_is train' -l i-accept-license -d 'accept the licence of a gated base, and remember it'
complete -c dlm -n '__dlm_is train' -l skip-bad-images -d 'train without images that cannot be read, and say how many'
complete -c dlm -n '__dlm_is train' -l take-over -d 'take the store over from another file of the same dlm_id'
complete -c dlm -n '__dlm_is train' -l init-adapter -d 'start from a PEFT adapter; its r, alpha and targets hold' -x -a '(__fish_complete_directories)'
complete -c dlm -n '__dlm_is train' -l save-every -d 'steps between saved states' -x
complete -c dlm -n '__dlm_is train' -l ask -d 'of its questions to answer in the end, before and after' -x
complete -c dlm -n '__dlm_is train' -l adapter-names -d 'transformers\' names of modules in the vision tower' -x -a 'v5 v4'
complete -c dlm -n '__dlm_is train' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n '__dlm_is train' -l gradient-checkpointing -d 'recompute instead of keep' -x -a 'document on off'
complete -c dlm -n '__dlm_is train' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is train' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is train' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is train' -l precision -d 'storage type of weights and operands' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is train' -l quant -d 'hold linear layers in 4 or 8 bits' -x -a 'auto none q8_0 nf4 nf4_dq'
complete -c dlm -n '__dlm_is train' -l quant-scope -d 'which of them' -x -a 'auto decoder linears all'
complete -c dlm -n '__dlm_is train' -l max-memory -d 'plan as if no more device memory were free' -x
complete -c dlm -n '__dlm_is train' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a prompt -d 'Ask a document\'s adapter about images.'
complete -c dlm -n '__dlm_is prompt' -l image -d 'an image to ask about; any number of times' -r -F
complete -c dlm -n '__dlm_is prompt' -l system -d 'system prompt' -x
complete -c dlm -n '__dlm_is prompt' -l chat -d 'a conversation as JSON messages, instead of QUERY and images' -r -F
complete -c dlm -n '__dlm_is prompt' -l max-tokens -d 'longest answer' -x
complete -c dlm -n '__dlm_is prompt' -l temp -d 'temperature; 0 always takes the likeliest token' -x
complete -c dlm -n '__dlm_is prompt' -l top-p -d 'sample among the likeliest tokens that sum to P' -x
complete -c dlm -n '__dlm_is prompt' -l seed -d 'random seed of sampling' -x
complete -c dlm -n '__dlm_is prompt' -l no-adapter -d 'the base alone; works before any training'
complete -c dlm -n '__dlm_is prompt' -l adapter-version -d 'an older version of the document\'s adapter' -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is prompt' -l adapter -d 'a PEFT adapter instead of the document\'s' -x -a '(__fish_complete_directories)'
complete -c dlm -n '__dlm_is prompt' -l base -d 'a base model instead of a document' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is prompt' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is prompt' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n '__dlm_is prompt' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is prompt' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is prompt' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is prompt' -l precision -d 'storage type of weights and operands' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is prompt' -l quant -d 'hold linear layers in 4 or 8 bits' -x -a 'auto none q8_0 nf4 nf4_dq'
complete -c dlm -n '__dlm_is prompt' -l quant-scope -d 'which of them' -x -a 'auto decoder linears all'
complete -c dlm -n '__dlm_is prompt' -l max-memory -d 'plan as if no more device memory were free' -x
complete -c dlm -n '__dlm_is prompt' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a show -d 'Describe a document and its store.'
complete -c dlm -n '__dlm_is show' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is show' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a migrate -d 'Bring a document to today\'s version.'
complete -c dlm -n '__dlm_is migrate' -l dry-run -d 'say what would be done, write nothing'
complete -c dlm -n '__dlm_is migrate' -l no-backup -d 'keep no copy of the old document'
complete -c dlm -n '__dlm_is migrate' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a tokenize -d 'Print the token ids of a text, as a model gets them.'
complete -c dlm -n '__dlm_is tokenize' -l base -d 'base model: a registry key, hf:org/name, dir:PATH, gguf:PATH, or a .dlm file\'s' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is tokenize' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is tokenize' -l tokenizer -d 'a tokenizer.json or tekken.json instead of a base' -r -F
complete -c dlm -n '__dlm_is tokenize' -l image -d 'an image before the text; any number of times' -r -F
complete -c dlm -n '__dlm_is tokenize' -l prompt -d 'the text, instead of TEXT; - is a text here' -x
complete -c dlm -n '__dlm_is tokenize' -l target -d 'the answer, with its end token' -x
complete -c dlm -n '__dlm_is tokenize' -l system -d 'system prompt' -x
complete -c dlm -n '__dlm_is tokenize' -l chat -d 'a conversation as JSON messages, instead of text and images' -r -F
complete -c dlm -n '__dlm_is tokenize' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n '__dlm_is tokenize' -l raw -d 'the ids of the text alone, as the tokenizers library gives them'
complete -c dlm -n '__dlm_is tokenize' -l json -d 'print {"ids": [...]}'
complete -c dlm -n __dlm_is -a preprocess -d 'Write an image\'s pixel values as a numpy archive.'
complete -c dlm -n '__dlm_is preprocess' -l base -d 'base model: a registry key, hf:org/name, dir:PATH or gguf:PATH' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is preprocess' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is preprocess' -l image -d 'the image' -r -F
complete -c dlm -n '__dlm_is preprocess' -l out -d '.npz file to write: pixel_values [1, 3, H, W]' -r -F
complete -c dlm -n '__dlm_is preprocess' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n __dlm_is -a score -d 'Print the log-probabilities of a given answer.'
complete -c dlm -n '__dlm_is score' -l base -d 'a base model, or a .dlm file' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is score' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is score' -l adapter -d 'a PEFT adapter instead of the document\'s' -x -a '(__fish_complete_directories)'
complete -c dlm -n '__dlm_is score' -l adapter-version -d 'an older version of the document\'s adapter' -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is score' -l image -d 'an image before the prompt; any number of times' -r -F
complete -c dlm -n '__dlm_is score' -l prompt -d 'the question' -x
complete -c dlm -n '__dlm_is score' -l target -d 'the answer to score, with its end token' -x
complete -c dlm -n '__dlm_is score' -l system -d 'system prompt' -x
complete -c dlm -n '__dlm_is score' -l chat -d 'a conversation as JSON messages; all answers in it are scored' -r -F
complete -c dlm -n '__dlm_is score' -l gradients -d 'safetensors file to write: the adapter\'s gradients' -r -F
complete -c dlm -n '__dlm_is score' -l json -d 'print {"loss", "ids", "logprobs"}'
complete -c dlm -n '__dlm_is score' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n '__dlm_is score' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is score' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is score' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is score' -l precision -d 'storage type of weights and operands' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is score' -l quant -d 'hold linear layers in 4 or 8 bits' -x -a 'auto none q8_0 nf4 nf4_dq'
complete -c dlm -n '__dlm_is score' -l quant-scope -d 'which of them' -x -a 'auto decoder linears all'
complete -c dlm -n '__dlm_is score' -l max-memory -d 'plan as if no more device memory were free' -x
complete -c dlm -n '__dlm_is score' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a bench -d 'Measure speed and memory of a base.'
complete -c dlm -n '__dlm_is bench' -l base -d 'base model: a registry key, hf:org/name, dir:PATH or gguf:PATH' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is bench' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is bench' -l shape -d 'random weights in the shape of a base; a wrong name tells which there are' -x
complete -c dlm -n '__dlm_is bench' -l layers -d 'that many of the shape\'s decoder layers' -x
complete -c dlm -n '__dlm_is bench' -l prompt-tokens -d 'text tokens beside the image\'s' -x
complete -c dlm -n '__dlm_is bench' -l decode-tokens -d 'tokens to generate' -x
complete -c dlm -n '__dlm_is bench' -l batch -d 'rows of a training step' -x
complete -c dlm -n '__dlm_is bench' -l repeat -d 'runs of each part; the best counts' -x
complete -c dlm -n '__dlm_is bench' -l explain -d 'where the time goes: each op beside the device\'s limits'
complete -c dlm -n '__dlm_is bench' -l limits -d 'measure what the device can do at most, and nothing else'
complete -c dlm -n '__dlm_is bench' -l tune -d 'measure a GPU\'s fastest tiles for --precision and keep them for later runs, and nothing else'
complete -c dlm -n '__dlm_is bench' -l tune-seconds -d 'about the time that --tune may take' -x
complete -c dlm -n '__dlm_is bench' -l plan -d 'print the planned memory, run nothing'
complete -c dlm -n '__dlm_is bench' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is bench' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is bench' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is bench' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is bench' -l precision -d 'storage type of weights and operands' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is bench' -l quant -d 'hold linear layers in 4 or 8 bits' -x -a 'auto none q8_0 nf4 nf4_dq'
complete -c dlm -n '__dlm_is bench' -l quant-scope -d 'which of them' -x -a 'auto decoder linears all'
complete -c dlm -n '__dlm_is bench' -l max-memory -d 'plan as if no more device memory were free' -x
complete -c dlm -n __dlm_is -a doctor -d 'List devices, what runs on them, and what a base needs of them.'
complete -c dlm -n '__dlm_is doctor' -l ops -d 'which op runs on which device in which type'
complete -c dlm -n '__dlm_is doctor' -l try -d 'compile and run each kernel of a device, saying its name before'
complete -c dlm -n '__dlm_is doctor' -l probe -d 'ask the drivers of --backend for their devices, in this process'
complete -c dlm -n '__dlm_is doctor' -l verify -d 'compare each tensor of an answer with a reference'
complete -c dlm -n '__dlm_is doctor' -l base -d 'what this base needs: a registry key, hf:org/name, dir:PATH or gguf:PATH' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is doctor' -l mmproj -d 'the vision tower\'s file of gguf:PATH' -r -F
complete -c dlm -n '__dlm_is doctor' -l batch -d 'with DOCUMENT or --base: rows of a micro-batch' -x
complete -c dlm -n '__dlm_is doctor' -l seq -d 'with DOCUMENT or --base: tokens of a row, its image\'s included' -x
complete -c dlm -n '__dlm_is doctor' -l time -d 'with DOCUMENT or --base: measure a GPU\'s speed, too, for estimates of time'
complete -c dlm -n '__dlm_is doctor' -l image -d 'with --verify: what is looked at' -r -F
complete -c dlm -n '__dlm_is doctor' -l prompt -d 'with --verify: what is asked' -x
complete -c dlm -n '__dlm_is doctor' -l image-size -d 'make images N x N, or native: in their proportions' -x -a 'pinned native'
complete -c dlm -n '__dlm_is doctor' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is doctor' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is doctor' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is doctor' -l precision -d 'storage type of weights and operands' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is doctor' -l quant -d 'hold linear layers in 4 or 8 bits' -x -a 'auto none q8_0 nf4 nf4_dq'
complete -c dlm -n '__dlm_is doctor' -l quant-scope -d 'which of them' -x -a 'auto decoder linears all'
complete -c dlm -n '__dlm_is doctor' -l max-memory -d 'plan as if no more device memory were free' -x
complete -c dlm -n '__dlm_is doctor' -l after -d 'with --try: begin behind this kernel' -x
complete -c dlm -n '__dlm_is doctor' -l limit -d 'how long a driver may take: to list its devices, to open one, for a kernel' -x
complete -c dlm -n '__dlm_is doctor' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is doctor' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a use -d 'Go back to an older version of a document\'s adapter.'
complete -c dlm -n '__dlm_is use' -s l -l list -d 'print the versions, the current one marked'
complete -c dlm -n '__dlm_is use' -l keys -d 'print the names of the versions alone, one a line'
complete -c dlm -n '__dlm_is use; and not __dlm_document > /dev/null' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n '__dlm_is use; and __dlm_document > /dev/null' -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'
complete -c dlm -n __dlm_is -a export -d 'Write a document\'s adapter for other programs.'
complete -c dlm -n '__dlm_is export' -l out -d 'the folder to write, or with --tar the file' -x -a '(__dlm_target)'
complete -c dlm -n '__dlm_is export' -l tar -d 'write one tar archive instead of a folder'
complete -c dlm -n '__dlm_is export' -l merged -d 'write the base\'s weights with the adapter folded in'
complete -c dlm -n '__dlm_is export' -l precision -d 'type of merged weights; auto is the base\'s own' -x -a 'auto fp32 bf16 fp16'
complete -c dlm -n '__dlm_is export' -l quant -d 'write GGUF files of this kind for llama.cpp, the adapter folded in' -x -a 'none f16 bf16 f32 q8_0 q6_k q5_k_m q4_k_m q4_0'
complete -c dlm -n '__dlm_is export' -l name -d 'what ollama calls the model' -x
complete -c dlm -n '__dlm_is export' -l skip-ollama -d 'make no model of GGUF files with ollama, though it is here'
complete -c dlm -n '__dlm_is export' -l gguf-anyway -d 'write --quant\'s files also where llama.cpp has no such model: for dlm alone'
complete -c dlm -n '__dlm_is export' -l no-template -d 'write a Modelfile without TEMPLATE beside GGUF files'
complete -c dlm -n '__dlm_is export' -l adapter-only -d 'write the adapter by itself as GGUF, for llama.cpp\'s --lora'
complete -c dlm -n '__dlm_is export' -l i-am-the-licensee -d 'merge, for yourself, a base that may not be redistributed, under the licence there' -x
complete -c dlm -n '__dlm_is export' -l adapter-version -d 'an older version of the document\'s adapter' -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'
complete -c dlm -n '__dlm_is export' -l matrix -d 'list which bases --quant writes files of, and stop'
complete -c dlm -n '__dlm_is export' -l no-verify -d 'do not compare what is written with the model in memory'
complete -c dlm -n '__dlm_is export' -l backend -d 'what computes' -x -a 'auto cpu opencl vulkan'
complete -c dlm -n '__dlm_is export' -l device -d 'which device of the backend' -x
complete -c dlm -n '__dlm_is export' -l no-matrix-units -d 'leave a GPU\'s matrix units alone, for drivers that fail on them'
complete -c dlm -n '__dlm_is export' -l json -d 'print JSON instead of the path or the list'
complete -c dlm -n '__dlm_is export' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a import -d 'Make an adapter from elsewhere a version of a document\'s.'
complete -c dlm -n '__dlm_is import' -l document -d 'the .dlm file whose adapter it becomes a version of' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n '__dlm_is import' -l any-base -d 'also an adapter that names another base, if it fits'
complete -c dlm -n '__dlm_is import' -x -a '(__fish_complete_directories)'
complete -c dlm -n __dlm_is -a bases -d 'List the bases that a document can name.'
complete -c dlm -n '__dlm_is bases' -l all -d 'list text and audio bases, too, which dlm does not train'
complete -c dlm -n '__dlm_is bases' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is bases' -l keys -d 'print the keys alone, one a line'
complete -c dlm -n __dlm_is -a pull -d 'Fetch a base from the Hugging Face hub.'
complete -c dlm -n '__dlm_is pull' -l revision -d 'a branch, tag or commit' -x
complete -c dlm -n '__dlm_is pull' -l jobs -d 'files at once' -x
complete -c dlm -n '__dlm_is pull' -l retries -d 'attempts in a row that may bring nothing' -x
complete -c dlm -n '__dlm_is pull' -l timeout -d 'seconds after which a connection that brings next to nothing is given up' -x
complete -c dlm -n '__dlm_is pull' -x -a '(dlm bases --keys 2> /dev/null)'
complete -c dlm -n __dlm_is -a list -d 'List the documents and adapters that this home knows.'
complete -c dlm -n '__dlm_is list' -l json -d 'print JSON, with every version'
complete -c dlm -n __dlm_is -a rm -d 'Remove a version of an adapter, caches, or a store.'
complete -c dlm -n '__dlm_is rm' -l cache -d 'remove the caches of images and features'
complete -c dlm -n '__dlm_is rm' -l store -d 'remove the whole store: every version, log and cache; the document stays'
complete -c dlm -n '__dlm_is rm' -s y -l yes -d 'remove without asking'
complete -c dlm -n '__dlm_is rm; and not __dlm_document > /dev/null' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n '__dlm_is rm; and __dlm_document > /dev/null' -x -a '(dlm use (__dlm_document) --keys 2> /dev/null)'
complete -c dlm -n __dlm_is -a cache -d 'Show or empty the caches of images and features.'
complete -c dlm -n '__dlm_is cache' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is cache' -l older-than -d 'prune what was not used for so long: 30d, 12h, 90m' -x
complete -c dlm -n '__dlm_is cache' -s y -l yes -d 'clear without asking'
complete -c dlm -n '__dlm_is cache' -l force -d 'the same as --yes'
complete -c dlm -n '__dlm_is cache; and not __fish_seen_subcommand_from show prune clear' -x -a 'show prune clear'
complete -c dlm -n '__dlm_is cache; and __fish_seen_subcommand_from show prune clear' -x -a '(__fish_complete_suffix .dlm)'
complete -c dlm -n __dlm_is -a verify-store -d 'Check a store, and repair what can be.'
complete -c dlm -n '__dlm_is verify-store' -l all -d 'every store of the home'
complete -c dlm -n '__dlm_is verify-store' -l repair -d 'repair what can be; no adapter is removed'
complete -c dlm -n '__dlm_is verify-store' -l json -d 'print JSON'
complete -c dlm -n '__dlm_is verify-store' -x -a '(__fish_complete_suffix .dlm)'
