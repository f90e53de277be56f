// Package spmif is the spmif protocol: the line protocol over a stream socket
// by which programs of the racoon2 family ask the policy manager which
// selector stands behind a kernel policy, and by which racoon2's own commands
// ask a running agent for its state.
//
// The package owns the codec of requests and replies, the login, a server
// session without I/O (Session) and a client over any io.ReadWriter (Client).
// It never opens a socket, reads a file or looks at a clock: the agent owns
// sockets and password file, hands in time and octets, and implements Handler.
//
// There is no RFC; the protocol is that of WIDE racoon2's spmd (2004 to 2010),
// with the login of its 2026 fork beside the original one. PROTOCOL.md in this
// folder states both and the extensions STATUS, SA and WATCH.
//
// Known limits: MIGRATE moves policies and IKEv2's SAs, not KINK's; an event of
// WATCH that is longer than a line loses its attributes.
package spmif
