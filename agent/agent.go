package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"racoon2/agent/logging"
	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
)

// Options is what an Agent is started with.
type Options struct {
	Config string       // path; "" is DefaultConfig
	RunDir string       // for the control socket and its password; "" is DefaultRunDir
	Kernel string       // "auto", "xfrm" or "userspace"; "" is as the configuration says
	Log    *logging.Log // required; stays the caller's
	// LogFormat is the form of the log; "" is as the configuration says.
	LogFormat logging.Format
	// KeyLog is the file that every key goes to, for Wireshark; "": none.
	KeyLog    string
	Etc       string // where hosts, nsswitch.conf and resolv.conf are; "" is /etc
	CoreDumps bool   // Run leaves them on; they hold keys
	// Backend, when set, is used instead of the one that Kernel names; the
	// agent closes it.
	Backend kernel.Backend
	// Load reads the configuration; nil is config.Load from files.
	Load func(path string) (*config.Config, config.Findings)
	// Now is the clock of the cores and of Kerberos; nil is time.Now.
	Now func() time.Time
}

// Agent is the running process: the cores with everything around them.
type Agent struct {
	o       Options
	log     *logging.Log
	main    *slog.Logger
	started time.Time

	ctx    context.Context // ends when drivers, workers and waits have to
	cancel context.CancelFunc
	wg     sync.WaitGroup // drivers, the watcher of addresses
	rd     sync.WaitGroup // readers of sockets
	pumped chan struct{}  // closed when the pump has ended

	backend  kernel.Backend
	why      string // the backend was chosen
	bypass   bool   // our sockets are exempt from the policies
	confined bool   // no program of ours can gain privileges
	pump     *pump
	pool     *pool
	policy   *policyDriver
	shards   []*ikeDriver
	engines  []*ikev2.Engine
	manager  *policy.Manager
	kink     *kinkDriver
	engine   *kink.Engine // KINK's
	tickets  *tickets
	homes    homes
	sockets  endpoints
	control  *control
	names    *resolving // nil before the resolver has started
	watchers watchers
	hooks    *hooks
	metrics  *metrics
	carried  carried
	counters counters
	keyLog   *keyLog // nil: none

	kinkStart time.Time // the epoch

	plan atomic.Pointer[plan] // a reload replaces it

	reloading sync.Mutex // one reload at a time; guards host and ending
	devices   devices
	host      []policy.Interface
	ending    bool

	failed chan error // the first failure that ends the agent
	undo   []func()   // what start has done, for when it fails half-way
}

// Start reads the configuration and brings the agent up. When it fails,
// nothing that it did remains. A *ConfigError says that the configuration is
// to blame.
func Start(o Options) (*Agent, error) {
	if o.Config == "" {
		o.Config = DefaultConfig
	}
	if o.RunDir == "" {
		o.RunDir = DefaultRunDir
	}
	if o.Etc == "" {
		o.Etc = defaultEtc
	}
	if o.Load == nil {
		o.Load = func(path string) (*config.Config, config.Findings) {
			return config.Load(path, config.Options{})
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Agent{o: o, log: o.Log, main: o.Log.Logger("agent"), started: time.Now(), failed: make(chan error, 1)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if err := a.start(); err != nil {
		for i := len(a.undo) - 1; i >= 0; i-- {
			a.undo[i]()
		}
		a.cancel()
		return nil, err
	}
	a.undo = nil
	return a, nil
}

// start goes step by step; each step that leaves something behind says in undo
// how to remove it. The control socket comes early because it tells whether
// another agent runs, before anything of that agent's is touched.
func (a *Agent) start() error {
	var err error
	if a.host, err = interfaces(); err != nil {
		return fmt.Errorf("addresses of this host: %w", err)
	}
	a.devices.set(a.host)
	first, err := a.prepare(nil, nil)
	if err != nil {
		return err
	}
	a.configureLog(first)
	a.main.Info(Banner())
	if err := a.startKeyLog(); err != nil {
		return err
	}
	if err := a.startControl(first.cfg.Interface); err != nil {
		return err
	}
	if err := a.startKernel(first); err != nil {
		return err
	}
	caps := a.backend.Capabilities()
	p, err := a.prepare(&caps, first.compiled.ReqIDs)
	if err != nil {
		return err
	}
	a.report(p.findings)
	a.configureLog(p)
	a.plan.Store(p)
	a.undo = append(a.undo, func() { a.removeLinks(nil) })
	if err := a.makeLinks(p.cfg); err != nil {
		return err
	}
	a.removeLinks(xfrmLinks(p.cfg)) // of a run that crashed
	if err := a.startSockets(); err != nil {
		return err
	}
	a.startHooks()
	a.startDrivers()
	a.tellAddresses()
	if err := a.startPolicies(); err != nil {
		return err
	}
	if err := a.startResolver(p); err != nil {
		return err
	}
	for _, e := range a.sockets.all() {
		a.startReader(e)
	}
	a.startWatch()
	if err := a.startMetrics(p); err != nil {
		return err
	}
	a.control.serve()
	a.main.Info("ready", "kernel", a.backend.Name(), "remotes", len(p.compiled.IKEv2.Remotes),
		"selectors", len(p.compiled.Policy.Selectors), "shards", len(a.shards))
	return nil
}

// startControl opens the control sockets.
func (a *Agent) startControl(i config.Interface) error {
	sock := controlOf(i, a.o.RunDir)
	c := newControl(a.main, commands{a}, nil)
	c.watchers = &a.watchers
	a.control = c
	a.undo = append(a.undo, c.close)
	for _, path := range sock.Unix {
		l, err := listenUnix(path)
		if err != nil {
			return err
		}
		c.listen(l)
	}
	for _, addr := range sock.TCP {
		l, err := listenTCP(addr)
		if err != nil {
			return err
		}
		c.listen(l)
	}
	var err error
	if sock.Generated {
		if err := privateFolder(filepath.Dir(sock.Password)); err != nil {
			return err
		}
		c.password, err = makePassword(sock.Password)
		c.made = sock.Password
	} else if c.password, err = ReadSecret(sock.Password); err != nil {
		err = fmt.Errorf("%v: spmd_password %s: %w", i.Pos, sock.Password, err)
	}
	if err == nil && len(c.password) == 0 {
		err = fmt.Errorf("%v: spmd_password %s is empty", i.Pos, sock.Password)
	}
	return err
}

// startKernel chooses the backend.
func (a *Agent) startKernel(p *plan) error {
	i := p.cfg.Interface
	a.backend, a.why = a.o.Backend, "given"
	if a.backend == nil {
		var err error
		if a.backend, a.why, err = openKernel(cmp.Or(a.o.Kernel, i.Kernel.String()), portsOf(bindsOf(p, a.host))); err != nil {
			return err
		}
	}
	a.bypass = i.ApplicationBypass || mustBypass(a.backend)
	if !i.ApplicationBypass && a.bypass {
		a.main.Warn("application_bypass off has no effect: with this kernel backend IKE's packets would find no way past the policies", "kernel", a.backend.Name())
	}
	if a.backend.Capabilities().Offload {
		a.backend = &offloading{a.backend, &a.devices}
	}
	a.main.Info("kernel backend "+a.backend.Name(), "why", a.why)
	if clear := a.backend.Capabilities().ClearInbound; clear != "" {
		a.main.Warn("arriving clear packets that a policy protects are not dropped", "why", clear)
	}
	a.pump = newPump(a.backend)
	a.pump.result, a.pump.policy, a.pump.owned = a.kernelResult, a.policyEvent, a.ownedEvent
	a.pump.all, a.pump.stray, a.pump.lost = a.everyEngine, a.strayEvent, a.reconcile
	a.undo = append(a.undo, func() { a.backend.Close() })
	return nil
}

// startDrivers makes the cores and starts everything that moves.
func (a *Agent) startDrivers() {
	workers := max(2, runtime.GOMAXPROCS(0))
	a.pool = newPool(a.ctx, workers)
	a.manager = policy.New(policy.Config{
		Rand: rand.Reader, Capabilities: a.backend.Capabilities(), NeighborDiscovery: !a.backend.Capabilities().KeepsND,
		Engines: []kernel.EngineID{kernel.IKEv2, kernel.KINK},
	})
	a.policy = newDriver[policy.Input, policy.Outbox](areaPolicy, a.manager, policy.Timeout{})
	a.policy.perform, a.policy.panicked, a.policy.now = a.performPolicy, a.corePanicked, a.o.Now
	shared := &ikev2.Shared{}
	for n := range runtime.GOMAXPROCS(0) {
		engine := ikev2.New(ikev2.Config{Shard: uint8(n), Rand: rand.Reader, Shared: shared, Settings: a.plan.Load().compiled.IKEv2, KeyLog: a.keyLog != nil})
		d := newDriver[ikev2.Input, ikev2.Outbox](areaIKEv2, engine, ikev2.Timeout{})
		d.perform, d.panicked, d.now = a.performIKE(n), a.corePanicked, a.o.Now
		a.engines, a.shards = append(a.engines, engine), append(a.shards, d)
		if n == 255 { // the shard's number is one octet of an SPI
			break
		}
	}
	a.makeKINK()
	a.pumped = make(chan struct{})
	go func() {
		defer lastWords(a.main)
		defer close(a.pumped)
		a.pump.run()
	}()
	a.wg.Go(func() {
		defer lastWords(a.main)
		a.policy.run(a.ctx)
	})
	for _, d := range a.shards {
		a.wg.Go(func() {
			defer lastWords(a.main)
			d.run(a.ctx)
		})
	}
	a.wg.Go(func() {
		defer lastWords(a.main)
		a.kink.run(a.ctx)
	})
	a.tickets.configure(a.plan.Load().compiled.Realms)
	a.undo = append(a.undo, func() {
		a.cancel()
		a.wg.Wait()
		a.pool.wait()
		a.tickets.close()
	})
}

// settleTime is how long start waits for the kernel to take the policies.
const settleTime = 10 * time.Second

// startPolicies installs the policies. One that a kernel refuses ends the
// start: its traffic would go out in clear. Once they stand, SAs from before
// go: their traffic is blocked until new ones come.
func (a *Agent) startPolicies() error {
	ctx, cancel := context.WithTimeout(a.ctx, settleTime)
	defer cancel()
	a.undo = append(a.undo, a.stopPolicies)
	if err := a.policy.post(ctx, policy.Addresses{Interfaces: a.host}); err != nil {
		return err
	}
	if err := a.policy.post(ctx, policy.Start{Settings: a.plan.Load().compiled.Policy}); err != nil {
		return err
	}
	for {
		entries, err := ask(ctx, a.policy, a.manager.Entries)
		if err != nil {
			return fmt.Errorf("the kernel did not take the policies within %v: %w", settleTime, err)
		}
		pending := 0
		for _, e := range entries {
			switch {
			case strings.HasPrefix(e.State, stateFailed):
				return fmt.Errorf("policy of selector %q, %v: %s", e.Selector, e.Policy.Selector, e.State)
			case e.State == statePending:
				pending++
			}
		}
		if pending == 0 {
			return a.dropLeftovers(ctx)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// startReader takes datagrams from a socket until it is closed.
func (a *Agent) startReader(e *endpoint) {
	a.rd.Go(func() {
		defer lastWords(a.main)
		a.read(e)
	})
}
