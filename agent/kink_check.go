package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"racoon2/config"
	"racoon2/kink"
	"racoon2/kink/kerberos"
)

// KINKCheck is what was found about one principal of this host.
type KINKCheck struct {
	Principal string        `json:"principal"`
	Findings  []KINKFinding `json:"findings"`
}

// KINKFinding is one step of a check.
type KINKFinding struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"` // one sentence
}

// checkTime bounds the check of one principal, and that of one peer.
const checkTime = 40 * time.Second

// CheckKINK tries the Kerberos set-up of a configuration, without a running
// agent: for each principal of this host its name, realm, keytab, KDC and clock,
// and whether the KDC has tickets for its peers. It changes nothing. Findings
// with errors mean that the configuration cannot be used, and nothing was tried.
func CheckKINK(ctx context.Context, path string, o config.Options) ([]KINKCheck, config.Findings) {
	cfg, findings := config.Load(path, o)
	if cfg == nil || findings.HasErrors() {
		return nil, findings
	}
	host, err := interfaces()
	if err != nil {
		return nil, append(findings, config.Finding{Code: "addresses", Severity: config.Error, Pos: config.Pos{File: path}, Text: err.Error()})
	}
	compiled, more := Compile(cfg, CompileOptions{Interfaces: host})
	if more = append(findings, more...); compiled == nil {
		return nil, more
	}
	out := []KINKCheck{}
	for _, r := range compiled.Realms {
		out = append(out, checkRealm(ctx, r, checkNetwork(cfg, r), compiled.KINK.Remotes)...)
	}
	return out, more
}

// checkNetwork reaches the KDCs as a running agent does: past the policies, which
// it may have installed.
func checkNetwork(cfg *config.Config, r *Realm) *kerberos.Network {
	n := &kerberos.Network{Conf: r.Conf}
	n.Dialer.Control = func(network, _ string, c syscall.RawConn) error {
		exemptForeign(probe{c, network == "udp6" || network == "tcp6"}, cfg.Interface.ApplicationBypass)
		return nil
	}
	return n
}

// checkRealm tries the principals that share their files.
func checkRealm(ctx context.Context, r *Realm, kdcs kerberos.KDC, remotes []*kink.Remote) []KINKCheck {
	host, err := kerberos.New(kerberos.Config{
		Principals: r.Principals, Keytab: r.Keytab, CCache: r.CCache, ETypes: r.ETypes, PRF16: r.PRF16,
		Start: time.Now(), Rand: rand.Reader, KDC: kdcs,
	})
	if err != nil {
		return []KINKCheck{{Principal: strings.Join(r.Principals, ", "), Findings: []KINKFinding{{Text: err.Error()}}}}
	}
	defer host.Close()
	var out []KINKCheck
	for _, p := range r.Principals {
		c := KINKCheck{Principal: p}
		c.name(p)
		c.realm(p, r)
		c.keytab(ctx, host, p, r)
		if c.OK() {
			c.peers(ctx, host, p, remotes)
		}
		out = append(out, c)
	}
	return out
}

// OK says that nothing is wrong.
func (c *KINKCheck) OK() bool {
	return !slices.ContainsFunc(c.Findings, func(f KINKFinding) bool { return !f.OK })
}

func (c *KINKCheck) say(ok bool, format string, args ...any) {
	c.Findings = append(c.Findings, KINKFinding{ok, fmt.Sprintf(format, args...)})
}

// name compares the principal with this host's name. Another name is no mistake:
// peers that name the principal find it.
func (c *KINKCheck) name(principal string) {
	o := KINKOptions{}
	o.complete()
	p, err := kerberos.ParsePrincipal(principal)
	if err != nil || len(p.Name) < 2 {
		c.say(true, "The principal does not name a host: peers must name it by peers_principal.")
		return
	}
	if host := o.Host(); !strings.EqualFold(p.Name[1], host) {
		c.say(true, "The principal is of %s, and this host calls itself %s: peers that have no peers_principal must know it as %s.", p.Name[1], host, p.Name[1])
		return
	}
	c.say(true, "The principal has the name of this host.")
}

// realm says where the KDCs of the principal's realm are looked for.
func (c *KINKCheck) realm(principal string, r *Realm) {
	p, err := kerberos.ParsePrincipal(principal)
	switch {
	case err != nil:
		c.say(false, "%v", err)
	case len(r.Conf.KDCs[p.Realm]) > 0:
		c.say(true, "krb5.conf has the KDCs of %s: %s.", p.Realm, strings.Join(r.Conf.KDCs[p.Realm], ", "))
	case r.Conf.LookupKDC && p.Realm != strings.ToUpper(p.Realm):
		c.say(true, "krb5.conf has no KDC of %s, DNS is asked. Realms are written in capitals as a rule.", p.Realm)
	case r.Conf.LookupKDC:
		c.say(true, "krb5.conf has no KDC of %s, DNS is asked.", p.Realm)
	default:
		c.say(false, "krb5.conf has no KDC of %s, and dns_lookup_kdc is off.", p.Realm)
	}
}

// keytab tries the keys.
func (c *KINKCheck) keytab(ctx context.Context, host *kerberos.Host, principal string, r *Realm) {
	if err := checkKeytab(r.Keytab); err != nil && r.CCache == "" {
		c.say(false, "The keytab %s: %v.", r.Keytab, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	for _, f := range host.Check(ctx, time.Now(), rand.Reader, principal) {
		c.say(f.OK, "%s", strings.TrimSuffix(f.Text, ".")+".")
	}
}

// peers asks for a ticket for each peer that is known by name.
func (c *KINKCheck) peers(ctx context.Context, host *kerberos.Host, principal string, remotes []*kink.Remote) {
	var asked []string
	for _, r := range remotes {
		for _, peer := range r.PeerPrincipals {
			if r.MyPrincipal != principal || strings.Contains(peer, "*") || slices.Contains(asked, peer) {
				continue
			}
			asked = append(asked, peer)
			err := ticketFor(ctx, host, principal, peer)
			if err != nil {
				c.say(false, "No ticket for the peer %s (remote %s): %v.", peer, r.Name, err)
			} else {
				c.say(true, "The KDC has tickets for the peer %s (remote %s).", peer, r.Name)
			}
		}
	}
}

func ticketFor(ctx context.Context, host *kerberos.Host, principal, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	_, err := host.Fetch(ctx, time.Now(), rand.Reader, kink.FetchTicket{Local: principal, Peer: peer})
	return err
}
