// Package kink is the KINK engine (RFC 4430): it makes, rekeys and deletes
// IPsec SAs whose keys come from Kerberos tickets. It owns transactions with
// their retransmission, SA pairs, peers with their epochs and clock offsets, and
// the cached replies.
//
// It is a state machine without goroutines, sockets, clock or random source of
// its own (Handle, Deadline). Kerberos is behind the interfaces of session.go:
// symmetric work is done inline, KDC traffic is an effect (FetchTicket) whose
// result is an input (TicketReady), and Diffie-Hellman is a Job.
//
// It never speaks to a KDC, never picks policies (selectors come with the
// settings), and never believes an error that is not authenticated beyond the
// few uses that RFC 4430 allows: they are remembered, one GETTGT may follow, and
// one retry with a fresh ticket.
//
// RFCs: 4430; 2407, 2408 and 2409 as far as Quick Mode payloads go.
//
// SAs are ESP, AH, IPComp and bundles of them: proposals of one number, each with its
// SPI (RFC 2408 §4.2), and a packet goes through IPComp, then ESP, then AH. Algorithms are those
// that the IPsec DOI has numbers for.
//
// Known limits: Quick Mode is version 1.0. Sequence numbers have 32 bits: RFC 4430 §5.1
// lists no attribute for more.
package kink
