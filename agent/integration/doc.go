// Package integration runs whole racoon2 processes: against each other and
// against strongSwan in network namespaces, and in a virtual machine with a
// full kernel. It holds nothing but tests.
package integration
