// Package dns is the DNS proxy: it brings the questions of clients to the
// resolver's core and its questions to upstreams, and converts both ways with
// miekg/dns. It owns the sockets, the core and its clock; it decides nothing
// about names, which is the core's part, and never validates DNSSEC.
//
// # Clients
//
// It listens on UDP and TCP (RFC 1035 §4.2, RFC 7766), on addresses of both
// families, and answers questions of class IN that want recursion. EDNS(0) is
// spoken (RFC 6891): answers over UDP are as large as the client takes, 1232
// octets at most, and otherwise empty with TC. DO, CD and AD pass (RFC 4035
// §3.2, RFC 6840 §5.7): AD to a client that set AD or DO, when an upstream that
// is trusted has set it. ANY gets RFC 8482's short answer; zone transfers,
// other classes, and questions without RD are refused; what is malformed gets
// FORMERR, and an answer sent here as if it were a question gets nothing.
// Clients, messages, connections and the answers that wait are bounded.
//
// What the cache knows is answered by the goroutine that read the question. On
// Linux it waits in the system, not with the runtime's poller: two calls for a
// question, no wake-up of another thread, no garbage.
//
// Answers hold what was asked for, its CNAMEs and its proof (SOA, NSEC, RRSIG);
// the additional section and records that have nothing to do with the question
// are left out.
//
// # Upstreams
//
// Each question over UDP leaves from a socket of its own on a random port, with
// a random ID and letters of random case (RFC 5452 §9.2); an answer counts only
// from the server's address and port to that socket, with that ID and exactly
// that question, letters and all (RFC 5452 §9.1). When wrong answers come in
// numbers, or one with the right ID and other letters, the question is put over
// TCP instead (RFC 5452 §9.3). Servers with a TLS name are asked over TLS alone
// (RFC 7858), with a certificate that shows this name, and padding (RFC 8467
// §4.1). Connections are kept open for a while and shared.
//
// Known limits: no DNS cookies, no response rate limiting beyond the core's
// limit on questions, no HTTPS transport.
package dns
