/* The BPE model: a vocabulary, ranked merges, and what to do with unknown characters. */
#ifndef DLM_TOKENS_BPE_H
#define DLM_TOKENS_BPE_H

#include "tokens/reader.h"
#include "tokens/tokenizer.h"
#include "tokens/vocab.h"

/* Ids of a file are below this, which bounds the table from ids to entries. */
#define DLM_BPE_MAX_IDS (1 << 22)

struct dlm_bpe {
    struct dlm_vocab vocab;
    struct dlm_merges merges;
    int32_t *entry_of_id; /* [num_ids] entry of the vocabulary, -1 for a hole */
    int32_t num_ids;
    int32_t byte_ids[256]; /* ids of <0x00> ... <0xFF>, -1 where there is none */
    int32_t unk_id;        /* -1: unknown characters are dropped, unless unk_is_missing */
    bool unk_is_missing;   /* the file names an unk_token that is not in the vocabulary */
    bool fuse_unk, byte_fallback, ignore_merges;
    struct dlm_str prefix; /* continuing_subword_prefix */
    struct dlm_str suffix; /* end_of_word_suffix */
};

/* What encoding needs: one for each thread of use. All zero is valid. */
struct dlm_bpe_scratch {
    struct dlm_bpe_symbol {
        int32_t id; /* -1: merged into the one before */
        int32_t prev, next;
    } *symbols;
    size_t len, cap;
    uint64_t *heap; /* rank + 1 << 32 | position of the left symbol */
    size_t heap_len, heap_cap;
    struct dlm_str affixed;
};
void dlm_bpe_scratch_finish(struct dlm_bpe_scratch *scratch);

/* Reads the file's "model". */
enum dlm_status dlm_bpe_read(struct dlm_tok_reader *r, struct dlm_bpe *bpe,
                             const json_t *object) DLM_CHECK_RESULT;
void dlm_bpe_finish(struct dlm_bpe *bpe);

/* Appends the ids of one piece, valid UTF-8, to out. O(len log len). */
enum dlm_status dlm_bpe_encode(struct dlm_ctx *ctx, const struct dlm_bpe *bpe,
                               struct dlm_bpe_scratch *scratch, const char *text, size_t len,
                               struct dlm_ids *out) DLM_CHECK_RESULT;

#endif
