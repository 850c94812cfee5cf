package graph

// Fused operators. The rewrites of fuse_*.go produce them, op_winnow_*.go implements them; all have opset 1 in Domain.
// x, y are float32 storage. Optional inputs may be absent. act is one of "" (none), "silu", "gelu", "gelu_tanh",
// "quick_gelu", "relu", "sigmoid", "tanh".
//
//	Silu(x)       y = x·sigmoid(x)                                                in place
//	Gelu(x)       approximate "none" (erf) | "tanh"                               in place
//	QuickGelu(x)  y = x·sigmoid(alpha·x), alpha default 1.702                     in place
//	GEGLU(x)      x [..., 2n] → [..., n]; y = a·act(b), a first half, b second half of the last axis.
//	              act default "gelu"; gate_first = 1 swaps the halves' parts (y = act(a)·b).
//	GroupNorm(x, gamma, beta)
//	              x [N,C,...]; gamma, beta [C] (any shape with C elements), optional; num_groups, epsilon, act.
//	              y = act(norm(x)·gamma + beta)
//	Linear(a, b, bias, residual)
//	              y = act(alpha·a·b + bias) + residual.
//	              a [..., M, K] (trans_a 1: [..., K, M]); b [K,N] (trans_b 1: [N,K]) or batched like MatMul's second
//	              operand [..., K, N] (trans_b 1: [..., N, K]); bias optional [N], or any shape broadcasting to [1,…,1,N];
//	              residual optional, exactly the output's shape. trans_a, trans_b default 0, alpha default 1, act.
//	              Output shape as MatMul's (a and b of rank ≥ 2).
//	Conv(x, w, bias, residual)
//	              Conv's attributes (auto_pad NOTSET; 2-D kernels at least), act; bias [Cout] optional;
//	              residual optional, exactly the output's shape. y = act(conv(x,w) + bias) + residual.
//	              w [O,I,kH,kW], or constant [O,kH,kW,I] with w_layout "ohwi".
//	UpConv(x, w, bias)
//	              x [N,C,H,W] doubled by nearest neighbours, then convolved with w [O,C,3,3], padding 1: [N,O,2H,2W].
//	              bias [O] optional. A gradient needs constant w.
//	Attention(q, k, v, mask)
//	              softmax(scale·q·kᵀ + mask)·v per head, heads num_heads; causal 1: key j visible to query i iff j ≤ i.
//	              q_layout, k_layout, v_layout, o_layout: "bhsd" [B,H,S,D] (default), or "bshd": [B,S,H·D] or [B,S,H,D]
//	              (the output in "bshd" is [B,S,H·Dv]). mask optional, additive, float32, broadcastable to [B,H,Sq,Sk].
//	              scale default 1/sqrt(D). Optional second output: per query, the logarithm of the sum of the
//	              exponentials of its scores, [B,H,Sq].
//	AttentionGrad(q, k, v, mask, o, lse, do)
//	              gradients of Attention with the same attributes: dq, dk, dv in the shapes of q, k, v. o and lse are the
//	              outputs of Attention, do is the cotangent of o. skip: ints, results that are not computed.
//	ActGrad(x, dy)
//	              dy·act'(x)                                                          in place
//	GEGLUGrad(x, dy)
//	              gradient of GEGLU with the same attributes.
//	LayerNormGrad(x, gamma, dy)
//	              gradients of LayerNormalization, or of RMSNormalization when rms is 1, with the same attributes: dx and, as
//	              far as the node has further outputs, dgamma and dbeta as lists.
//	GroupNormGrad(x, gamma, beta, dy)
//	              gradient of GroupNorm with the same attributes (act included) with respect to x.
//
// LayerNormalization and RMSNormalization rewrites use the standard operators of opset 17 and 23.
const (
	layoutBHSD = "bhsd"
	layoutBSHD = "bshd"
	layoutOHWI = "ohwi"
)
