// Package gradients compares gradients of whole networks with torch.autograd: of all LoRA factors, scales and inputs of
// tiny SD1.5, SDXL and SD3 denoisers with two PEFT adapters, and of the latents of a picture that CLIP scores. Networks and
// numbers are made by tests/oracle/gradients.py. Derivatives of a reward with respect to the latents of whole pipelines, on the way and
// at the end, come from tests/oracle/search_gradients.py.
package gradients
