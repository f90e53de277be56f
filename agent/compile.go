package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/kink/kerberos"
	"racoon2/policy"
)

// The bounds on half-open IKE SAs. The original asks for cookies from 20 on.
const (
	cookieThreshold = 20
	maxHalfOpen     = 4096
	maxFromAddress  = 256  // of these from one address, or /64 of IPv6
	maxFromNetwork  = 1024 // and from one /24, or /48
)

// CompileOptions is what a configuration is compiled against. The zero value
// compiles for any kernel, without addresses, and reads key files.
type CompileOptions struct {
	// Interfaces are this host's addresses, for the macros.
	Interfaces []policy.Interface
	// ReqIDs are those given out before, by outbound selector, so that they
	// stay the same over reloads.
	ReqIDs map[string]uint32
	// ReadSecret reads a key file and holds it to the rules for secrets; nil
	// is the operating system's: a regular file, of this user, closed to others.
	ReadSecret func(path string) ([]byte, error)
	// Names gives the addresses of a peer's host name, as far as they are known;
	// nil knows none.
	Names func(name string) []netip.Addr
	// Kernel, when set, drops what this kernel cannot do, with a warning.
	Kernel *kernel.Capabilities
	// Now, when set, has the files looked at that nothing is compiled from:
	// certificates, which may be past their time, and other secrets.
	Now time.Time
	// ReadFile reads a file that is no secret; nil is the operating system's.
	ReadFile func(path string) ([]byte, error)
	// KINK is what KINK needs besides.
	KINK KINKOptions
}

// Compiled is a configuration as the cores take it. It holds secrets.
type Compiled struct {
	IKEv2  *ikev2.Settings
	KINK   *kink.Settings
	Realms []*Realm // of this host's principals
	Policy *policy.Settings
	// ReqIDs are the request identifiers in use, by outbound selector.
	ReqIDs map[string]uint32
}

// Compile turns a configuration without errors into the cores' own settings.
// The findings are about what only the host can tell: key files, addresses,
// what the kernel can do. With errors among them nothing is compiled.
func Compile(cfg *config.Config, o CompileOptions) (*Compiled, config.Findings) {
	c := newCompiler(cfg, o)
	settings := &ikev2.Settings{CookieThreshold: cookieThreshold, MaxHalfOpen: maxHalfOpen,
		MaxHalfOpenAddress: maxFromAddress, MaxHalfOpenNetwork: maxFromNetwork}
	settings.IKEPort, settings.NATPort = ports(cfg.Interface)
	for _, r := range remotes(cfg) {
		for _, k := range commons(r) {
			c.logFile(k)
			c.scripts(k)
		}
		if compiled := c.remote(r); compiled != nil {
			c.byRemote[r] = compiled
			settings.Remotes = append(settings.Remotes, compiled)
		}
		c.kink(r)
	}
	for _, p := range cfg.Pairs() {
		c.child(p)
		c.kinkChild(p)
	}
	c.files()
	out := &Compiled{IKEv2: settings, KINK: c.kinkSettings(), Realms: c.realms, Policy: c.policies(), ReqIDs: c.reqIDs.given}
	slices.SortStableFunc(c.findings, func(a, b config.Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	if c.findings.HasErrors() {
		return nil, c.findings
	}
	return out, c.findings
}

// remotes are the configuration's, and the default remote as the last resort.
func remotes(cfg *config.Config) []*config.Remote {
	if cfg.Default == nil {
		return cfg.Remotes
	}
	return append(slices.Clip(cfg.Remotes), cfg.Default)
}

// compiler collects findings over one compilation.
type compiler struct {
	cfg      *config.Config
	o        CompileOptions
	reqIDs   *reqIDs
	byRemote map[*config.Remote]*ikev2.Remote
	usable   map[*config.Policy][]*config.IPsec // the bundles that IKEv2 offers
	findings config.Findings
	said     map[config.Finding]bool

	kinkRemotes map[*config.Remote]*kinkRemote
	krb5Confs   map[string]*kerberos.Krb5Conf // by path
	realms      []*Realm
}

func newCompiler(cfg *config.Config, o CompileOptions) *compiler {
	if o.ReadSecret == nil {
		o.ReadSecret = ReadSecret
	}
	if o.ReadFile == nil {
		o.ReadFile = readPublic
	}
	o.KINK.complete()
	return &compiler{cfg: cfg, o: o, reqIDs: newReqIDs(cfg, o.ReqIDs), byRemote: make(map[*config.Remote]*ikev2.Remote),
		usable: make(map[*config.Policy][]*config.IPsec), said: make(map[config.Finding]bool),
		kinkRemotes: make(map[*config.Remote]*kinkRemote), krb5Confs: make(map[string]*kerberos.Krb5Conf)}
}

func (c *compiler) find(s config.Severity, pos config.Pos, code, hint, format string, args ...any) {
	f := config.Finding{Code: code, Severity: s, Pos: pos, Text: fmt.Sprintf(format, args...), Hint: hint}
	if !c.said[f] { // several selectors may use one policy
		c.said[f] = true
		c.findings = append(c.findings, f)
	}
}

// where is a position as explanations name it: the file's own name and the line.
func where(p config.Pos) string {
	if !p.IsValid() {
		return filepath.Base(p.File)
	}
	return filepath.Base(p.File) + ":" + strconv.Itoa(p.Line)
}
