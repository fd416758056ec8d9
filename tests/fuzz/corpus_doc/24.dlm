---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
base_model: b
---

  ::image path="Bilder/grün 樹.png"	alt="🌲"::	
caption
- list
  ```
  ::image path='x'
  ```
	::instruction:: 
### Q
what?
### A
```sh
# q
###A
```
 ::prose::
   ```
   open
::preference::
### Prompt
p
### Chosen
### Question
### Rejected
r
   ::audio transcript="hé" path="a.wav" ::
