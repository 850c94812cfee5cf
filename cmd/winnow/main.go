// Command winnow generates pictures from text with diffusion models and ranks
// them. See `winnow help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"winnow/internal/cli"
)

func main() { os.Exit(run()) }

// run stops cleanly at the first signal; a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
