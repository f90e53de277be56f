// Racoon2 is an IPsec key-exchange agent in one binary: "racoon2 run" is the
// agent, the other commands ask it. Everything is in agent/cli and below.
package main

import (
	"os"

	"racoon2/agent/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
