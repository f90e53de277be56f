// Package sim runs whole racoon2 hosts against each other in virtual time: real
// cores (ikev2.Engine, kink.Engine, policy.Manager) with the settings that agent compiles
// from a racoon2.conf, kernels from kernel/fake, and a network that loses,
// doubles, delays, reorders and corrupts datagrams, and may have a NAT in it.
//
// One seed gives one run. Time, randomness and the order of events come from
// the World alone; ephemeral keys come out of jobs and differ between runs, and
// nothing in the schedule depends on them.
//
// While a Scenario runs, and when it has come to rest, the invariants named in
// Invariant are checked against what the simulator itself saw: packets that
// hosts really sent and received, messages that really crossed the wire, SAs
// that the fake kernels really hold. Nothing that a core says about itself is
// believed without that comparison.
//
// KINK's Kerberos is a Realm: one KDC with the messages and refusals of the real one and
// cheap cryptography, whose tickets end, whose keys change and which may be down.
//
// It owns no protocol and no policy, opens no socket and starts no goroutine.
// It does what the drivers of package agent do, synchronously.
//
// Known limits: one interface for each host, no path MTU, no fragments, and
// nothing of the spmif protocol.
package sim
