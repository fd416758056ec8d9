---
# a comment
"dlm_id":   01HZ4X7TGZM3J1A2B3C4D5E6F7 # mine
dlm_version:  3  # old
base_model: b
training: {seed: 2, # é
  lora_r: 4}
---
x
