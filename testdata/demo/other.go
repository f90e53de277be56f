//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "demo: this needs Linux: it makes network namespaces")
	os.Exit(1)
}
