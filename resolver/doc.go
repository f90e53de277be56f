// Package resolver follows names for the policy manager and answers the DNS
// questions of clients: what the resolver inside the original racoon2's spmd was
// meant to be.
//
// It owns the cache, the questions under way, the health of the upstreams, the
// map between watched names and their addresses, and the gate that holds an
// answer until the policy for its addresses stands. It never touches a socket,
// a file or a clock, and does not know the format of a DNS message: package
// resolver/dns converts and does the I/O. Addresses of names that nobody
// watches are passed on and remembered nowhere but in the cache.
//
// Resolver is a state machine without I/O. Handle takes one input and appends
// all of its effects to an Outbox; Deadline says when the next Timeout is due.
//
// # Watched names
//
// A name of the configuration is asked for as soon as it is watched, A and AAAA
// together, and again before its answer runs out, for ever. A wildcard
// (*.corp.example.com) brings in the names below it that clients ask for and
// those that the hosts file has; such a name is asked for again while clients
// or SAs use it, and forgotten afterwards. The addresses at the end of a CNAME
// chain belong to every watched name on the chain.
//
// An address that an answer no longer has is in its grace for what was left of
// its TTL, as applications may still hold it, and Settings.Grace more; then it
// is gone. An upstream that is silent or says SERVFAIL changes nothing for
// addresses in use; others leave when their TTL has passed. NXDOMAIN and an
// empty answer (RFC 2308) are answers: everything leaves. CD of clients (RFC 4035
// §3.2.2) does not go upstream for watched names: no policy is made of an answer that
// the upstream was told not to check.
//
// # The gate
//
// An answer with addresses that are new to a watched name of a gated set waits
// for PolicyStands with the generation of the change, so that the first packet
// meets its policy. After Settings.GateBound it becomes SERVFAIL, or passes, as
// Settings.GateOutcome says. Answers out of the cache wait just so.
//
// # The cache
//
// Positive and negative answers (RFC 2308 §5) live as their TTL says, within
// floor and ceiling; failures for one second (RFC 9520 §3.2). Stale answers
// (RFC 8767) and prefetch are off unless set. New watched names empty the cache,
// because answers in it have not met the gate.
//
// # Upstreams
//
// They are asked in their order; one that fails is passed over, one second at
// first and a minute at most. When an upstream is silent for AttemptTimeout the
// next is asked as well, and the first answer counts. SERVFAIL and REFUSED of
// one send the question on to the others. One question is under way once only,
// whoever asks (RFC 5452 §5). A client beyond its rate is not answered.
//
// # Local names
//
// The hosts file is looked at in the order of nsswitch.conf; a name that it has
// is answered from it for both families. RFC 6761's localhost, invalid and
// test, onion (RFC 7686), local (RFC 6762), alt (RFC 9476), home.arpa (RFC 8375)
// and private reverse zones (RFC 6303) are answered here, unless
// Settings.Forward or a watched name says otherwise.
//
// Known limits: a CNAME whose end is not in the answer counts as an answer
// without addresses: upstreams have to be recursive. Answers are not validated
// here; RequireDNSSEC relies on an upstream that validates.
package resolver
