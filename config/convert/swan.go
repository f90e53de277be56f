package convert

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"racoon2/config"
)

// conn is a connection of strongSwan or libreswan, or one of its children, under swanctl.conf's names.
type conn struct {
	name     string
	node     *node
	values   map[string]*node
	sides    map[string]*node // local and remote
	children []*conn
	from     []config.Pos
	// defaultID says that without an identity the peer's address is it;
	// otherwise any identity will do.
	defaultID bool
}

func newConn(n *node) *conn {
	return &conn{name: nameOf(n), node: n, values: map[string]*node{}, sides: map[string]*node{}}
}

// set keeps a setting; the first one counts, as the own ones come first.
func (k *conn) set(key string, n *node) {
	if k.values[key] == nil {
		k.values[key] = n
	}
}

// text is the value of a setting, or "".
func (k *conn) text(key string) string {
	if n := k.values[key]; n != nil {
		return n.arg(1)
	}
	return ""
}

// swanChanged are settings that need no counterpart.
var swanChanged = map[string]string{
	"version": "only IKEv2 is spoken", "dpd_timeout": "it is a matter of IKEv1", "dpd_action": "policies stay when a peer is dead, and traffic starts anew",
	"fragmentation": "messages are fragmented where both ends can (RFC 7383)", "keyingtries": "traffic starts a new attempt",
	"over_time": "it is part of kmp_sa_lifetime_time", "rand_time": "rekeying begins at a time of its own before the lifetime ends",
	"reauth_time": "IKE SAs are rekeyed, and authenticated once", "send_cert": "it concerns certificates", "send_certreq": "it concerns certificates",
	"unique": "a peer that comes anew replaces what it had (RFC 7296 §2.4)", "close_action": "traffic starts anew what was closed",
	"local_port": "the port is that of the interface section", "aggressive": "IKEv2 has no modes",
}

// swanConn converts a connection.
func (c *converter) swanConn(k *conn, secrets []*secret) {
	k.node.claimed = true
	if k.text("version") == "1" {
		c.leaveOutAll(k.node, "the connection is IKEv1", "let both ends speak IKEv2")
		return
	}
	if len(c.sections) > 10*maxMany || !c.step() {
		c.err = errTooLarge
		return
	}
	s := c.newSection("remote", k.name, k.node.pos)
	ike := s.sub("ikev2")
	ike.from = append(k.from, at(k.sides["local"], k.sides["remote"])...)
	locals, _ := c.swanAddresses(k, "local_addrs")
	remotes, peers := c.swanAddresses(k, "remote_addrs")
	c.swanIdentities(k, ike, locals, remotes, peers)
	if n := k.values["proposals"]; n != nil {
		t := c.swanSuite(n, n.arg(1), true)
		c.putSuite(ike, t)
	}
	c.swanTimes(k, ike)
	for key, n := range k.values {
		if why := swanChanged[key]; why != "" {
			c.change(n, why)
		}
	}
	if n := k.values["mobike"]; n != nil {
		if n.arg(1) == "no" {
			c.change(n, "it is off unless the configuration says otherwise")
		} else {
			n.claimed = true
			ike.put("mobike on", "", at(n)...)
		}
	}
	c.swanKey(k, ike, s.name, secrets, locals, remotes)
	for _, child := range k.children {
		c.swanChild(k, child, ike, s.name, locals, remotes)
	}
}

// maxAddresses bounds the addresses of one end of a connection.
const maxAddresses = 64

// swanAddresses are the numeric addresses of a list, and all of them as
// peers_ipaddr takes them, with the host names.
func (c *converter) swanAddresses(k *conn, key string) (out []netip.Addr, all []string) {
	n := k.values[key]
	if n == nil {
		return nil, nil
	}
	n.claimed = true
	for _, s := range strings.FieldsFunc(n.arg(1), func(r rune) bool { return r == ',' || r == ' ' }) {
		a, err := netip.ParseAddr(s)
		switch {
		case err == nil && !a.Is4In6() && len(all) < maxAddresses:
			out, all = append(out, a), append(all, a.String())
		case strings.HasPrefix(s, "%"), s == "0.0.0.0/0", s == "::/0":
			c.change(n, "any address is what holds without one")
		case key == "remote_addrs" && len(all) < maxAddresses && c.probe(inIKEv2, "peers_ipaddr "+s).ok && isPlain(s):
			all = append(all, s)
		case key == "remote_addrs":
			c.leaveOut(n, s+" is neither an address nor a host name", "write the address; until then the peer may come from anywhere, and has to begin")
		default:
			c.leaveOut(n, "this host's addresses are converted in numbers alone", "write my_sa_ipaddr into the policies of its tunnels")
		}
	}
	return out, all
}

// swanIdentities writes my_id, peers_id and peers_ipaddr.
func (c *converter) swanIdentities(k *conn, ike *section, locals, remotes []netip.Addr, all []string) {
	mine, from := "ipaddr MY_IP", at(k.values["local_addrs"])
	if len(locals) > 0 {
		mine = "ipaddr " + locals[0].String()
	}
	if text, _, ok := c.swanID(k, "local.id", "my_id "); ok && text != "" {
		mine, from = text, at(k.values["local.id"])
	}
	ike.put("my_id "+mine, "", from...)
	text, anyone, ok := c.swanID(k, "remote.id", "peers_id ")
	switch {
	case ok && text != "":
		ike.put("peers_id "+text, "", at(k.values["remote.id"])...)
	case k.values["remote.id"] == nil && k.defaultID && len(remotes) > 0:
		ike.put("peers_id ipaddr "+remotes[0].String(), "", at(k.values["remote_addrs"])...)
	case anyone || k.values["remote.id"] == nil:
		ike.put("verify_id off", "any identity that has the key", at(k.values["remote.id"])...)
	default:
		ike.put("peers_id ipaddr IP_ANY", "", at(k.values["remote.id"])...)
	}
	port := ""
	if n := k.values["remote_port"]; n != nil {
		if c.probe(inIKEv2, "peers_ipaddr 192.0.2.1 port "+n.arg(1)).ok && isPlain(n.arg(1)) {
			port = " port " + n.arg(1)
			n.claimed = true
		}
	}
	peers := []string{}
	for _, a := range all {
		peers = append(peers, a+port)
	}
	if len(peers) == 0 {
		peers = append(peers, "IP_ANY")
	}
	if len(peers) == 1 {
		ike.put("peers_ipaddr "+peers[0], "", at(k.values["remote_addrs"])...)
	} else {
		ike.put("peers_ipaddr "+list(peers), "", at(k.values["remote_addrs"])...)
	}
	if len(locals) > 0 {
		c.change(k.values["local_addrs"], "IKE listens on all addresses of this host; the tunnel ends at the first of these")
	}
}

// swanID reads an identity setting.
func (c *converter) swanID(k *conn, key, directive string) (text string, anyone, ok bool) {
	n := k.values[key]
	if n == nil {
		return "", false, false
	}
	text, anyone, err := swanIdentity(n.arg(1))
	if err == nil && text != "" {
		if v := c.probe(inIKEv2, directive+text); !v.ok {
			err = fmt.Errorf("%s", v.why)
		}
	}
	if err != nil {
		c.leaveOut(n, err.Error(), "write "+directive+"with another identity")
		return "", false, false
	}
	n.claimed = true
	return text, anyone, true
}

// swanTimes writes the lifetime and the time after which a silent peer is asked.
func (c *converter) swanTimes(k *conn, ike *section) {
	if n := k.values["rekey_time"]; n != nil {
		seconds, ok := swanSeconds(n.arg(1))
		over := seconds / 10 // strongSwan's over_time without one
		if n.name() == "ikelifetime" {
			over = 0
		}
		if given, is := swanSeconds(k.text("over_time")); is {
			over = given
		}
		if !ok {
			c.leaveOut(n, "the time is not understood", "write kmp_sa_lifetime_time")
		} else {
			c.add(ike, inIKEv2, n, "kmp_sa_lifetime_time "+strconv.Itoa(seconds+over)+" sec")
		}
	}
	if n := k.values["dpd_delay"]; n != nil {
		if seconds, ok := swanSeconds(n.arg(1)); ok {
			c.add(ike, inIKEv2, n, "dpd_delay "+strconv.Itoa(seconds)+" sec")
		} else {
			c.leaveOut(n, "the time is not understood", "write dpd_delay")
		}
	}
	if n := k.values["encap"]; n != nil {
		if n.arg(1) == "yes" {
			c.add(ike, inIKEv2, n, "nat_traversal force")
		} else {
			c.change(n, "NATs are looked for, and ESP is in UDP behind them")
		}
	}
}

// swanSeconds reads a time: a number with s, m, h or d behind it.
func swanSeconds(s string) (int, bool) {
	number, unit := digits(strings.TrimSpace(s))
	factor, known := map[string]int{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	n, err := strconv.Atoi(number)
	return n * factor, err == nil && known && n < 1_000_000
}

// swanKey writes the key of a remote and reports authentication by anything else.
func (c *converter) swanKey(k *conn, ike *section, remote string, secrets []*secret, locals, remotes []netip.Addr) {
	mine, theirs := []string{bareIdentity(k.text("local.id"))}, []string{bareIdentity(k.text("remote.id"))}
	for _, a := range locals {
		mine = append(mine, a.String())
	}
	for _, a := range remotes {
		theirs = append(theirs, a.String())
	}
	var found *secret
	if k.sharesKey() { // a key that was for others must not become this one's
		found = bestSecret(secrets, mine, theirs)
	}
	path := c.putKey(ike, remote, found)
	do := agreeOnKey + " and write it into " + path
	for _, side := range []string{"local.auth", "remote.auth"} {
		n := k.values[side]
		switch {
		case n == nil:
			if k.values["local.auth"] == nil {
				c.leaveOut(k.node, "without an authentication it is by certificates: "+noCertificates, do)
			}
		case n.arg(1) == "psk" || n.arg(1) == "secret":
			n.claimed = true
			ike.entries[len(ike.entries)-1].from = append(ike.entries[len(ike.entries)-1].from, n.pos)
			if found == nil {
				c.leaveOut(n, "the key of remote "+remote+" is not known", "write it into "+path)
			}
		default:
			c.leaveOut(n, noCertificates, do)
		}
	}
}

// sharesKey says whether both sides authenticate with a pre-shared key.
func (k *conn) sharesKey() bool {
	psk := func(s string) bool { return s == "psk" || s == "secret" }
	return psk(k.text("local.auth")) && psk(k.text("remote.auth"))
}

// bestSecret finds the key for two ends: one that names the peer and this host
// before one that names the peer, before one for everybody.
func bestSecret(secrets []*secret, mine, theirs []string) *secret {
	var best *secret
	score := 0
	for _, s := range secrets {
		has := func(ids []string) bool {
			return slices.ContainsFunc(s.ids, func(id string) bool { return id != "" && slices.Contains(ids, id) })
		}
		points := 0
		switch {
		case len(s.ids) == 0 || slices.Contains(s.ids, "%any") && !has(theirs):
			points = 1
		case has(theirs) && has(mine):
			points = 4
		case has(theirs):
			points = 3
		case has(mine) && len(s.ids) == 1:
			points = 2
		}
		if points > score {
			best, score = s, points
		}
	}
	return best
}

// unusedKeys reports the keys of no connection.
func (c *converter) unusedKeys(secrets []*secret) {
	for _, s := range secrets {
		if !s.used {
			c.leaveOut(s.node, "no connection that was converted uses the key", "")
		}
	}
}
