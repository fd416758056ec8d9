---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 8
base_model: paligemma-3b-mix-224
---

# Head

hello
<!-- dlm-auto-harvest: source="run_1" -->

