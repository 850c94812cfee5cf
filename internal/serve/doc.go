// Package serve answers over HTTP how well pictures fit prompts: its own JSON endpoints, and the protocols in which trainers
// elsewhere ask for rewards, one file each (shim_*.go).
//
// A request is checked, its pictures are looked at by their headers, and its items wait in one bounded queue. A single worker
// takes what has gathered, scores it as one batch, and hands the results back; so small requests of many clients cost what one
// large request costs. Nothing that a request names is opened: no path, no address, unless Options allow it.
package serve
