---
dlm_id: 0NFS06537MPYQBV6K29STR68ZE
dlm_version: 15
base_model: "dir:base"
training:
  lora_r: 5
  lora_alpha: 9
  lora_dropout: 0.0
  sequence_len: 256
  num_epochs: 20
  seed: 1
  learning_rate: 0.001
  lr_scheduler: "cosine"
  warmup_ratio: 0.1
  micro_batch_size: 2
  grad_accum: 3
---

::image path="images/one.png" alt="a drawing"::
small which en

::instruction::
### Q
triangle caption?
### A
image
### Q
are ground?
### A
house small

::prose::
Blue large this en describe.

::instruction::
### Q
square the blue which?
### A
colour answer

::image path="images/two.png" alt="a drawing"::
is a moon

