package agent

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"racoon2/config"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/kink/kerberos"
)

// KINKOptions is what KINK is compiled against. The zero value reads the
// system's files.
type KINKOptions struct {
	Etc string // where the hosts file is; "" is /etc
	// Host finds this host's full name.
	Host func() string
	// NamesOf are the names of an address in the hosts file, the official one first.
	NamesOf func(netip.Addr) []string
	// Krb5Conf reads krb5.conf, the system's for "".
	Krb5Conf func(path string) (*kerberos.Krb5Conf, error)
	// Keytab says what is wrong with a keytab, the system's for "".
	Keytab func(path string) error
}

// Realm is what one kerberos.Host is made of: principals of this host that
// have the same files and settings.
type Realm struct {
	Principals []string
	Keytab     string // path
	CCache     string // path; "" for none
	ETypes     []kerberos.EType
	PRF16      bool
	Conf       *kerberos.Krb5Conf
}

// kinkRemote is a remote on its way to the engine. Its children may be for
// different principals; each group of them becomes a kink.Remote.
type kinkRemote struct {
	remote *config.Remote
	base   kink.Remote
	conf   *kerberos.Krb5Conf
	groups []*kink.Remote // by principals
}

// kink compiles a remote's KINK block; nothing for one that has none.
func (c *compiler) kink(r *config.Remote) {
	k := r.KINK
	if r.Disabled || k == nil {
		return
	}
	conf := c.krb5Conf(k)
	local, ok := c.myPrincipal(r, k, conf)
	if !ok {
		return
	}
	c.realm(k, conf, local)
	out := &kinkRemote{remote: r, conf: conf, base: kink.Remote{
		Name:              r.Name,
		Where:             where(r.Pos),
		Passive:           k.Passive,
		MyPrincipal:       local,
		UserToUser:        k.UserToUser == config.UserToUserOn || k.UserToUser == config.UserToUserRequire,
		RequireUserToUser: k.UserToUser == config.UserToUserRequire,
		DenyTGT:           k.UserToUser == config.UserToUserOff,
		ThreeWay:          k.ThreeWay,
		NonceSize:         k.NonceSize,
		Retry:             kink.Retransmission{First: k.IntervalToSend, Tries: k.MaxRetryToSend},
		Grace:             k.GracePeriod,
		DPDDelay:          k.DPDDelay,
	}}
	out.base.Peers, out.base.AnyPeer = c.peerAddresses(k.PeersIPAddr)
	named := func(a config.Address) bool { return a.Kind == config.AddressFQDN }
	if len(k.PeersIPAddr) == 0 || slices.ContainsFunc(k.PeersIPAddr, named) {
		out.base.AnyPeer = true // the principal tells who it is, and names change their addresses
	}
	c.kinkRemotes[r] = out
	if k.PeersPrincipal != "" {
		if p, ok := c.principal(k.PeersPrincipal, conf, k.PeersPrincipalPos, "peers_principal"); ok {
			if p == local {
				c.find(config.Error, k.PeersPrincipalPos, "own-principal", "write the peer's", "peers_principal %s is this host's own", p)
			}
			out.group([]string{p})
		}
	}
}

// group finds or makes the part of a remote that is for these principals.
func (k *kinkRemote) group(principals []string) *kink.Remote {
	for _, g := range k.groups {
		if slices.Equal(g.PeerPrincipals, principals) {
			return g
		}
	}
	g := k.base
	g.PeerPrincipals = principals
	k.groups = append(k.groups, &g)
	return &g
}

// krb5Conf reads the configuration of Kerberos once. Without it KDCs may still
// be found by DNS.
func (c *compiler) krb5Conf(k *config.KINK) *kerberos.Krb5Conf {
	if conf, ok := c.krb5Confs[k.KRB5Conf]; ok {
		return conf
	}
	conf, err := c.o.KINK.Krb5Conf(k.KRB5Conf)
	if err != nil {
		c.find(config.Warning, cmp.Or(k.KRB5ConfPos, k.Pos), "krb5-conf", "write the realm and its kdc into it", "the configuration of Kerberos cannot be read: %v", err)
		conf, _ = kerberos.ParseKrb5Conf(nil)
	}
	c.krb5Confs[k.KRB5Conf] = conf
	return conf
}

// myPrincipal is this host's principal of a remote.
func (c *compiler) myPrincipal(r *config.Remote, k *config.KINK, conf *kerberos.Krb5Conf) (string, bool) {
	if k.MyPrincipal != "" {
		return c.principal(k.MyPrincipal, conf, k.MyPrincipalPos, "my_principal")
	}
	host := c.o.KINK.Host()
	p, err := conf.KINKPrincipal(host)
	if err == nil && !strings.Contains(host, ".") {
		c.find(config.Warning, k.Pos, "no-principal", "write my_principal, or this host's full name into /etc/hosts",
			"remote %s: this host's name, %q, has no domain; its principal is %s", r.Name, host, p)
	}
	if err != nil {
		c.find(config.Error, k.Pos, "no-principal", `add: my_principal "kink/host.example.org@EXAMPLE.ORG";`,
			"remote %s has no my_principal, and this host's name makes none: %v", r.Name, err)
		return "", false
	}
	return p, true
}

// principal reads a principal; its realm may be left to krb5.conf.
func (c *compiler) principal(text string, conf *kerberos.Krb5Conf, pos config.Pos, directive string) (string, bool) {
	p, err := parsePrincipal(text, conf)
	if err != nil {
		c.find(config.Error, pos, "bad-principal", "write it like kink/host.example.org@EXAMPLE.ORG", "%s: %v", directive, err)
		return "", false
	}
	return p, true
}

func parsePrincipal(text string, conf *kerberos.Krb5Conf) (string, error) {
	p, err := kerberos.ParsePrincipal(text)
	if err == nil || strings.Contains(strings.ReplaceAll(text, `\@`, ""), "@") {
		return p.String(), err
	}
	if _, err := kerberos.ParsePrincipal(text + "@REALM"); err != nil {
		return "", err
	}
	host := text[strings.LastIndexByte(text, '/')+1:]
	p, err = kerberos.ParsePrincipal(text + "@" + conf.Realm(host))
	return p.String(), err
}

// realm notes a principal of this host with what it needs. A principal has one
// set of files and settings.
func (c *compiler) realm(k *config.KINK, conf *kerberos.Krb5Conf, local string) {
	wanted := Realm{Keytab: k.Keytab, CCache: k.CCache, PRF16: k.AESSHA1PRF == 16, Conf: conf}
	if wanted.Keytab == "" {
		wanted.Keytab = systemKeytab()
	}
	for _, e := range k.EncTypes {
		wanted.ETypes = append(wanted.ETypes, kerberos.EType(e))
	}
	var home *Realm
	for _, r := range c.realms {
		same := *r
		same.Principals = nil
		if reflect.DeepEqual(same, wanted) {
			home = r
		}
		if slices.Contains(r.Principals, local) && home != r {
			c.find(config.Error, cmp.Or(k.KeytabPos, k.Pos), "two-keytabs", "write keytab, ccache, krb5_conf, enctypes and aes_sha1_prf once, in default",
				"principal %s has other Kerberos settings in another remote", local)
			return
		}
	}
	if home == nil {
		if err := c.o.KINK.Keytab(wanted.Keytab); err != nil && wanted.CCache == "" {
			c.find(config.Warning, cmp.Or(k.KeytabPos, k.Pos), "keytab", "racoon2 kink check tells more", "keytab %s: %v", wanted.Keytab, err)
		}
		home = &wanted
		c.realms = append(c.realms, home)
	}
	if !slices.Contains(home.Principals, local) {
		home.Principals = append(home.Principals, local)
	}
}

// kinkChild compiles an outbound selector with its reverse into a child of its
// remote, for the principals that may have its traffic.
func (c *compiler) kinkChild(p config.Pair) {
	s, pol := p.Outbound, p.Outbound.Policy
	if s.Disabled || pol == nil || pol.Disabled || pol.Action != config.ActionAutoIPsec {
		return
	}
	remote := c.kinkRemotes[pol.Remote]
	if remote == nil {
		return
	}
	principals := c.peerPrincipals(remote, s, pol)
	if len(principals) == 0 {
		c.find(config.Error, s.Pos, "no-principal", `add: peers_principal "kink/host.example.org@EXAMPLE.ORG";`,
			"remote %s has no peers_principal, and selector %s and /etc/hosts name nobody", pol.RemoteIndex, s.Name)
		return
	}
	if pol.PerPair {
		c.find(config.Warning, pol.Pos, "no-effect", "", "sa_per_pair has no effect with KINK, which has SAs for whole selectors")
	}
	bundles := c.bundles(pol)
	child := &kink.Child{
		Name: s.Name, Where: where(s.Pos), Mode: modeOf(pol.Mode), Level: levelOf(pol.Level), ReqID: c.reqIDs.of(p),
		Binding: c.binding(pol),
		KE:      pol.Remote.KINK.KE, KEOptional: !pol.Remote.KINK.NeedPFS,
		Proposals: c.kinkProposals(bundles),
	}
	child.MyEnd, child.PeerEnd = childEnds(pol)
	child.Outbound, child.Dynamic = c.childTraffic(p)
	if p.Inbound != nil {
		child.Inbound = p.Inbound.Name
	}
	if len(bundles) > 0 {
		bundle := bundles[0]
		child.Lifetime = kernel.Lifetime{Time: bundle.Lifetime, Bytes: bundle.LifetimeBytes}
		child.Replay = c.replayWindow(bundle)
		if k := c.o.Kernel; k != nil && !k.ByteLifetimes && child.Lifetime.Bytes != 0 {
			c.find(config.Warning, bundle.Pos, "byte-lifetime", "", "this kernel does not count octets: ipsec_sa_lifetime_byte has no effect with KINK")
			child.Lifetime.Bytes = 0
		}
		if bundle.ExtSequence {
			c.find(config.Advice, bundle.Pos, "ext-sequence", "", "KINK has no extended sequence numbers: RFC 4430 §5.1 has no attribute for them")
		}
	}
	if len(child.Proposals) == 0 {
		c.find(config.Error, s.Pos, "no-child-proposal", "", "selector %q: the kernel can do none of the algorithms of policy %q", s.Name, pol.Name)
	}
	g := remote.group(principals)
	g.Children = append(g.Children, child)
}

// peerPrincipals are those that may have SAs for a selector: the remote's, or
// those of the names that the selector has, or of the names of its addresses in
// the hosts file. A name that DNS has for an address is nothing to trust.
func (c *compiler) peerPrincipals(r *kinkRemote, s *config.Selector, pol *config.Policy) []string {
	if len(r.groups) > 0 && r.remote.KINK.PeersPrincipal != "" {
		return r.groups[0].PeerPrincipals
	}
	var out []string
	add := func(name string, pos config.Pos) {
		p, err := r.conf.KINKPrincipal(name)
		if err != nil {
			c.find(config.Warning, pos, "no-principal", "", "%v", err)
		} else if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, a := range s.Dst {
		if a.Kind == config.AddressFQDN {
			add(a.Name, a.Pos)
		}
	}
	if len(out) > 0 {
		return out
	}
	ends := s.Dst
	if pol.Mode == config.ModeTunnel && pol.PeersSAIPAddr != nil {
		ends = append([]config.Address{*pol.PeersSAIPAddr}, r.remote.KINK.PeersIPAddr...)
	}
	for _, a := range ends {
		if a.Kind == config.AddressFQDN {
			add(a.Name, a.Pos)
		}
		if a.Kind != config.AddressInet || !a.IsHost() {
			continue
		}
		if names := c.o.KINK.NamesOf(a.Addr); len(names) > 0 {
			add(names[0], a.Pos)
		}
	}
	return out
}

// kinkSettings puts the remotes together, in the configuration's order.
func (c *compiler) kinkSettings() *kink.Settings {
	s := &kink.Settings{Port: cmp.Or(firstPort(c.cfg.Interface.KINK), kinkPort)}
	for _, r := range remotes(c.cfg) {
		if k := c.kinkRemotes[r]; k != nil {
			s.Remotes = append(s.Remotes, k.groups...)
		}
	}
	for _, a := range c.cfg.Interface.KINK {
		if len(s.Remotes) > 0 && slices.ContainsFunc(c.cfg.Interface.IKE, func(i config.Address) bool { return portOf(i) == a.Port }) {
			c.find(config.Error, a.Pos, "kink-port", "leave the port out: it is 910", "port %d is IKE's", a.Port)
		}
	}
	return s
}

func firstPort(list []config.Address) uint16 {
	for _, a := range list {
		return a.Port
	}
	return 0
}
