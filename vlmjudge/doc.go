// Package vlmjudge turns what a vision-language judge says about two pictures into probabilities: soft rewards with the
// judge's position bias taken out. The HTTP client that asks the judge stands on these definitions.
//
// A verdict is a probability P(first is better). Judges prefer a position, so both orders are asked and combined by
// [Swap]. Ties count half.
package vlmjudge
