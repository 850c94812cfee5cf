// Package vlmjudge asks a vision-language model which of two pictures shows a text better, or whether a picture shows it
// at all, and turns the answers into probabilities: soft rewards with the judge's position bias taken out.
//
// [Open] connects to any server with the chat API of OpenAI (vLLM, llama.cpp, Ollama, transformers serve, hosted ones). A
// verdict is a probability P(first is better). Judges prefer a position, so [Judge.Compare] asks in both orders and
// combines them by [Swap]. Ties count half. Where the server tells the probabilities of its first token, the labels'
// share is the answer ([ProtocolLogprobs]); elsewhere written answers are counted ([ProtocolVotes], [ProtocolGreedy]). The own
// forms of Ollama, llama.cpp and transformers serve are tried where their chat gives no probabilities ([API]).
// Every [Answer] names the formula behind its number, since numbers of different formulas must not be compared.
//
// [OpenRemote] is for rewards that run elsewhere behind a plain HTTP address. *Judge and *Remote both score pictures as
// package rewards expects it.
//
// A judge's text is untrusted data, and so is the prompt: it is fenced in the question, and control tokens of chat models
// are broken up in it. Pictures are sent without alpha; keys and pictures never appear in errors.
package vlmjudge
