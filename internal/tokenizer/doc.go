// Package tokenizer turns a prompt into the token ids that a text encoder was
// trained on: CLIP's byte pairs, BERT's word pieces, and SentencePiece's
// Unigram pieces as in T5 and SigLIP.
//
// CLIP follows transformers 5 (models/clip/tokenization_clip.py, itself a
// setting of the Rust library tokenizers): NFC, runs of white space become one
// space, lower case rune by rune, a split into words, UTF-8 bytes mapped to
// printable characters, and byte-pair merges in which the last symbol of every
// word carries the suffix "</w>". Special tokens such as <|endoftext|> written
// in the prompt become their ids, as they do there.
//
// A CLIP tokenizer is read from vocab.json and merges.txt, or from
// tokenizer.json where only that exists; BERT from vocab.txt; Unigram from
// spiece.model or tokenizer.json. All of these files come from outside, so
// every malformed one is an error that names the file and the place.
package tokenizer
