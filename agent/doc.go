// Package agent is the process: it compiles racoon2.conf into the cores' own
// settings and gives the cores what they do not have themselves: goroutines,
// sockets, files, the clock, a pool of workers, a kernel, a log, and a control
// socket for the commands.
//
// It owns every goroutine. Each core, the policy manager and each shard of the
// IKEv2 engine, has a driver: one goroutine that hands it one input at a time
// and performs the effects. A driver never waits for another: what it has to
// hand over waits in its outbox while it goes on reading its inbox. Datagrams
// are dropped, and counted, when a driver cannot keep up; commands, kernel
// results and results of jobs never are.
//
// It never speaks IKE, decides about traffic or touches a key, and no core
// imports it. It is the only room that imports config.
//
// Failing closed: a core that panics is not called again, since nothing can be
// said about its state. The agent then ends with an error and leaves policies
// and guards where they are, so that what was protected stays blocked rather
// than going out in clear; the next start takes them over. An orderly end
// removes them. A panic in a job is confined to the job, which touches nothing
// of a core's; a panic anywhere else ends the process as a crash does, with the
// same result for traffic.
//
// With the resolver on, the DNS proxy runs beside the policy manager: what names
// stand for goes to the manager, which says when the SPD stands, and only then
// does the proxy let go of its answer. The child of a selector with a host name
// is negotiated for any address on that side, and the SPD, which has one policy
// for each address, decides what goes over it, so that a name that moves needs
// no negotiation.
//
// Scripts run beside the cores, too: a bounded queue, a few at once, those of one
// peer one after another. An orderly end waits for them for a moment.
//
// Metrics are made when they are asked for, by asking the cores as status does;
// labels have values from closed sets or from the configuration.
//
// Known limits: the resolver starts with the agent alone. The run directory, the control socket and the kernel backend do
// not change on a reload. Where the system does not tell of changed addresses
// they are looked for every ten seconds. Keys of a configuration that a reload
// replaced are left to the garbage collector, since IKE SAs may still use them.
package agent
