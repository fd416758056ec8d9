/* In how many bits a base is held: what a call, an adapter version and a document say of it. */
#ifndef DLM_API_QUANT_H
#define DLM_API_QUANT_H

#include "dlm/compute.h"
#include "doc/doc.h"
#include "models/quant_policy.h"

struct dlm_origin;

/* What compute asks for; what it leaves open is not quantised, or the decoder's linears alone. */
struct dlm_quant_policy dlm_quant_policy_of(const struct dlm_compute *compute);

/* Fills what compute leaves open from the document. */
void dlm_quant_take_document(struct dlm_compute *compute, const struct dlm_doc *doc);

/* "nf4_dq, decoder", for messages and origin.json; "" without quantisation. */
const char *dlm_quant_form_name(const struct dlm_quant_policy *policy);

/* Fills what compute leaves open from such a name. False: it is none. */
bool dlm_quant_take_form(struct dlm_compute *compute, const char *name);

#endif
