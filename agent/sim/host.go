package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"racoon2/agent"
	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kernel/fake"
	"racoon2/kink"
	"racoon2/kink/kerberos"
	"racoon2/policy"
)

// configName is the name of every host's racoon2.conf.
const configName = "/etc/racoon2/racoon2.conf"

// krb5conf is every host's krb5.conf.
const krb5conf = "[libdefaults]\ndefault_realm = EXAMPLE.ORG\n"

// Virtual durations of what is not the network.
const (
	kernelTime = 200 * time.Microsecond
	jobTime    = 2 * time.Millisecond
)

// Host is one host: the cores, a kernel, and the glue that agent's drivers are
// in a real process.
type Host struct {
	Name  string
	w     *World
	spec  *HostSpec
	index int

	addrs []netip.Addr // now; the first is what it sends from

	// life counts the starts; what belongs to an earlier one falls to the ground.
	life       int
	alive      bool // the process runs
	kernelRuns bool // the kernel does, with what the process left in it
	protecting bool // every policy was installed, so that intent can be held to
	stopping   bool // Stop was called

	rand     *rand.ChaCha8
	compiled *agent.Compiled
	shared   *ikev2.Shared
	shards   []*shard
	kink     *kinkSide // nil without KINK
	manager  *policy.Manager
	wakes    map[any]time.Duration // next wake-up that is planned, by core

	kernel     *fake.Kernel
	kernelFree time.Duration // when the operations submitted so far are done
	kernelWake time.Duration
	owners     map[kernel.SAID]kernel.Owner
	installed  map[kernel.SAID]*installedSA
	reserved   map[kernel.SAID]bool
	ever       map[transformID]inOut // SAs ever installed
	homes      map[string]int        // by remote: the shard that has its children

	spinAt    time.Duration
	spinCount int
}

// shard is one engine.
type shard struct {
	engine *ikev2.Engine
	number int
}

func newHost(w *World, spec *HostSpec, index int) (*Host, error) {
	h := &Host{Name: spec.Name, w: w, spec: spec, index: index, addrs: slices.Clone(spec.Addrs)}
	h.newKernel()
	var err error
	h.compiled, err = h.compile(spec.Config)
	return h, err
}

func (h *Host) newKernel() {
	h.kernel = fake.New(fmt.Sprint(h.Name, h.life)) // SPIs differ from life to life
	h.kernelRuns = true
	h.owners = make(map[kernel.SAID]kernel.Owner)
	h.installed = make(map[kernel.SAID]*installedSA)
	h.reserved = make(map[kernel.SAID]bool)
	h.ever = make(map[transformID]inOut)
}

// compile loads a configuration from memory, as agent does from disk.
func (h *Host) compile(text string) (*agent.Compiled, error) {
	files := config.Files{configName: text}
	for name, content := range h.spec.Files {
		files[path.Clean(name)] = content
	}
	cfg, findings := config.Load(configName, config.Options{
		FS: files, LookupEnv: func(string) (string, bool) { return "", false }, AnyOwner: true,
	})
	if findings.HasErrors() {
		return nil, explain(findings)
	}
	o := agent.CompileOptions{
		Interfaces: h.interfaces(),
		ReadSecret: func(name string) ([]byte, error) {
			secret, ok := h.spec.Files[path.Clean(name)]
			if !ok {
				return nil, errors.New("there is no such file")
			}
			return []byte(secret), nil
		},
		Kernel: &h.kernel.Capabilities,
		KINK: agent.KINKOptions{
			Host:     func() string { return h.Name + ".example.org" },
			NamesOf:  func(netip.Addr) []string { return nil },
			Krb5Conf: func(string) (*kerberos.Krb5Conf, error) { return kerberos.ParseKrb5Conf([]byte(krb5conf)) },
			Keytab:   func(string) error { return nil },
		},
	}
	if h.compiled != nil {
		o.ReqIDs = h.compiled.ReqIDs
	}
	compiled, findings := agent.Compile(cfg, o)
	if findings.HasErrors() {
		return nil, explain(findings)
	}
	return compiled, nil
}

func explain(f config.Findings) error {
	var b strings.Builder
	for _, one := range f {
		fmt.Fprintf(&b, "%v: %s\n", one.Pos, one.Text)
	}
	return errors.New(strings.TrimSpace(b.String()))
}

// interfaces are the host's addresses, on one interface.
func (h *Host) interfaces() []policy.Interface {
	one := policy.Interface{Name: "eth0"}
	for _, a := range h.addrs {
		one.Addrs = append(one.Addrs, netip.PrefixFrom(a, a.BitLen()))
	}
	return []policy.Interface{one}
}

func (h *Host) has(a netip.Addr) bool {
	return slices.Contains(h.addrs, a) ||
		slices.ContainsFunc(h.spec.Nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (h *Host) listens(port uint16) bool {
	s := h.compiled.IKEv2
	return port == s.IKEPort || s.NATPort != 0 && port == s.NATPort
}

// start begins a life of the process.
func (h *Host) start() {
	h.life++
	h.alive, h.stopping = true, false
	h.rand = h.w.source(h.index, h.life)
	h.shared = &ikev2.Shared{}
	h.shards = nil
	h.wakes = make(map[any]time.Duration)
	h.homes = make(map[string]int)
	for n := range max(1, h.spec.Shards) {
		h.shards = append(h.shards, &shard{number: n, engine: ikev2.New(ikev2.Config{
			Shard: uint8(n), Rand: h.rand, Shared: h.shared, Settings: h.compiled.IKEv2,
		})})
	}
	h.dropLeftovers()
	h.startKINK()
	h.manager = policy.New(policy.Config{
		Rand: h.rand, Capabilities: h.kernel.Capabilities, Engines: []kernel.EngineID{kernel.IKEv2, kernel.KINK},
	})
	h.tellAddresses()
	h.policyInput(policy.Addresses{Interfaces: h.interfaces()})
	h.policyInput(policy.Start{Settings: h.compiled.Policy})
}

// dropLeftovers deletes the SAs that an earlier life left in the kernel, as agent
// does before it begins.
func (h *Host) dropLeftovers() {
	for _, sa := range h.dumpSAs() {
		h.apply(kernel.Request{Op: kernel.DeleteSA{ID: sa.SAID}})
	}
	clear(h.reserved)
}

// Up asks for the child of a selector, as an operator does.
func (h *Host) Up(selector string) { h.policyInput(policy.Up{Selector: selector}) }

// Flush deletes the SAs of a remote, telling the peer; "" is all.
func (h *Host) Flush(remote string) {
	for _, s := range h.shards {
		h.engineInput(s, ikev2.Terminate{Remote: remote, Reason: "flushed"})
	}
	h.kinkInput(kink.Terminate{Remote: remote, Reason: "flushed"})
}

// Reconfigure loads another racoon2.conf, as SIGHUP does.
func (h *Host) Reconfigure(text string) error {
	compiled, err := h.compile(text)
	if err != nil {
		return err
	}
	h.compiled = compiled
	h.protecting = false
	h.policyInput(policy.Reconfigure{Settings: compiled.Policy})
	for _, s := range h.shards {
		h.engineInput(s, ikev2.Reconfigure{Settings: compiled.IKEv2})
	}
	h.kinkInput(kink.Reconfigure{Settings: compiled.KINK})
	return nil
}

// Crash ends the process at once. With reboot the kernel loses everything too;
// without, it goes on with the SAs and policies that it has.
func (h *Host) Crash(reboot bool) {
	h.w.note(line{host: h.Name, text: "crashes"})
	h.alive = false
	h.life++
	if reboot {
		h.newKernel()
		h.kernelRuns = false
		h.protecting = false
	}
}

// Restart starts the process again after a Crash or Stop.
func (h *Host) Restart() {
	h.w.note(line{host: h.Name, text: "starts again"})
	h.kernelRuns = true
	h.start()
}

// Stop begins an orderly end of the engines; the policies leave when they are idle.
func (h *Host) Stop() {
	if !h.alive {
		return
	}
	h.w.note(line{host: h.Name, text: "shuts down"})
	h.stopping = true
	for _, s := range h.shards {
		h.engineInput(s, ikev2.Shutdown{})
	}
	h.kinkInput(kink.Shutdown{})
}

// Foreign does an operation on the kernel as somebody else on the host would.
func (h *Host) Foreign(op kernel.Op) error {
	events, err := h.kernel.Foreign(h.w.Now(), op)
	if err != nil {
		return err
	}
	switch op := op.(type) {
	case kernel.DeleteSA:
		delete(h.installed, op.ID)
	case kernel.FlushSA:
		clear(h.installed)
		clear(h.reserved)
	}
	h.kernelEvents(events)
	return nil
}

// shardFor is the shard that initiates to a remote: the one that has children
// with it, or else the one for its first address.
func (h *Host) shardFor(remote string) *shard {
	if n, ok := h.homes[remote]; ok {
		return h.shards[n]
	}
	for _, r := range h.compiled.IKEv2.Remotes {
		if r.Name == remote && len(r.Peers) > 0 {
			return h.shards[ikev2.ShardOfAddress(r.Peers[0].Addr(), len(h.shards))]
		}
	}
	return h.shards[0]
}
