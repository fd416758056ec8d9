/* In how many bits a base is held: what a call, an adapter version and a document say of it. */
#ifndef DLM_API_QUANT_H
#define DLM_API_QUANT_H

#include "dlm/compute.h"
#include "doc/doc.h"
#include "models/weights.h"

#define DLM_BASE_FORM_BYTES 64

/* What compute asks for; what it leaves open is not quantised, or the decoder's linears alone. */
struct dlm_quant_policy dlm_quant_policy_of(const struct dlm_compute *compute);

/* DLM_ERR_INVALID: a scope, of a base that is not quantised. */
enum dlm_status dlm_quant_check(struct dlm_ctx *ctx,
                                const struct dlm_compute *compute) DLM_CHECK_RESULT;

/* Fills what compute leaves open from the document. */
void dlm_quant_take_document(struct dlm_compute *compute, const struct dlm_doc *doc);

/* "nf4_dq, decoder"; "" without quantisation. */
const char *dlm_quant_form_name(const struct dlm_quant_policy *policy);

/* What a base has in its files already, or most of what it has so; f32: it was not saved
 * quantised. */
enum dlm_dtype dlm_quant_saved(const struct dlm_weights *weights);

/* What a base is held in, for messages and origin.json: what was asked for, "nf4_dq, decoder", or
 * "nf4, as saved", with "; else nf4, all" where other weights became what was asked for; "": in
 * its precision. */
void dlm_quant_form_of(const struct dlm_weights *weights, char form[DLM_BASE_FORM_BYTES]);

/* Fills what compute leaves open from such a form. False: it is none. */
bool dlm_quant_take_form(struct dlm_compute *compute, const char *name);

#endif
