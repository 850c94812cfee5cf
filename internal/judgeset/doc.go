// Package judgeset makes data sets that vision-language models learn to judge pictures from, out of preference sets: questions about
// two pictures or a list, with what people said, in the layouts that trainers read.
//
// Which prompts are taken depends on the prompt and a seed alone, so a set is the same in every run and in every cut of its file.
package judgeset
