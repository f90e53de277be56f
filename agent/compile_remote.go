package agent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/message"
)

// remote compiles one remote; nil when it does not use IKEv2 or has errors.
func (c *compiler) remote(r *config.Remote) *ikev2.Remote {
	k := r.IKEv2
	if r.Disabled || k == nil {
		return nil
	}
	out := &ikev2.Remote{
		Name:           r.Name,
		Where:          where(r.Pos),
		Passive:        k.Passive,
		VerifyID:       k.VerifyID,
		SendIDr:        k.SendPeersID,
		Check:          proposalCheck(k.ProposalCheck),
		TunnelInstead:  k.SelectorCheck == config.CheckObey,
		ParentStrength: k.ParentStrength,
		NATTraversal:   k.NATTraversal != config.NATOff,
		ForceNAT:       k.NATTraversal == config.NATForce,
		CookieRequired: k.CookieRequired,
		Fragmentation:  k.Fragmentation,
		Childless:      k.Childless,
		Window:         k.WindowSize,
		MOBIKE:         k.MOBIKE,
		NonceSize:      k.NonceSize,
		Retry:          ikev2.Retransmission{First: k.IntervalToSend, Tries: k.MaxRetryToSend, Copies: k.TimesPerSend},
		Lifetime:       k.Lifetime,
		SetupTimeout:   k.NegotiationLimit,
		ChildTimeout:   k.ChildNegoLimit,
		Grace:          k.GracePeriod,
		AuthLifetime:   k.AuthLifetime,
		DPDDelay:       k.DPDDelay,
	}
	out.NoInitialContact = !k.InitialContact
	out.Padding = ikev2.Padding{Random: k.RandomPadContent}
	if k.RandomPadLen {
		out.Padding.Most = k.MaxPadLen
	}
	for _, a := range k.NATDPublicAddress {
		if a.Kind == config.AddressInet {
			out.PublicAddresses = append(out.PublicAddresses, netip.AddrPortFrom(a.Addr, a.Port))
		}
	}
	c.peers(k, out)
	c.identities(k, out)
	out.SharedKey = c.readSharedKey(k)
	c.postQuantumKey(k, out)
	for _, p := range k.Proposals {
		out.Proposals = append(out.Proposals, ikev2.IKEProposal{
			Encr: encryptions(p.Encr), PRF: p.PRF, Integ: p.Integ, KE: p.KE,
		})
	}
	return out
}

// proposalCheck is proposal_check as the engine has it. Lifetimes are not negotiated,
// so that claim has nothing to claim and is as strict.
func proposalCheck(word config.Check) ikev2.ProposalCheck {
	switch word {
	case config.CheckObey:
		return ikev2.CheckObey
	case config.CheckExact:
		return ikev2.CheckExact
	}
	return ikev2.CheckStrict
}

func encryptions(in []config.Encryption) []ikev2.Encryption {
	out := make([]ikev2.Encryption, len(in))
	for i, e := range in {
		out[i] = ikev2.Encryption{ID: e.ID, KeyBits: e.KeyBits}
	}
	return out
}

// peers compiles peers_ipaddr. Without one the peer is told by its identity
// alone, from wherever it comes.
func (c *compiler) peers(k *config.IKEv2, out *ikev2.Remote) {
	out.Peers, out.AnyPeer = c.peerAddresses(k.PeersIPAddr)
	out.AnyPeer = out.AnyPeer || len(k.PeersIPAddr) == 0
}

// peerAddresses are the addresses of a peer, those of its names as far as they
// are known; any says that all addresses are.
func (c *compiler) peerAddresses(list []config.Address) (out []netip.AddrPort, any bool) {
	for _, a := range list {
		var addrs []netip.Addr
		switch {
		case a.Kind == config.AddressMacro && a.Macro.Any():
			any = true
		case a.Kind == config.AddressFQDN:
			if c.o.Names != nil {
				addrs = c.o.Names(a.Name)
			}
		case a.Kind == config.AddressInet:
			addrs = []netip.Addr{a.Addr}
		case a.Kind == config.AddressMacro:
			for _, p := range c.expand(a) {
				addrs = append(addrs, p.Addr())
			}
		}
		for _, addr := range addrs {
			if at := netip.AddrPortFrom(addr, a.Port); !slices.Contains(out, at) {
				out = append(out, at)
			}
		}
	}
	return out, any
}

// identities compiles my_id and peers_id.
func (c *compiler) identities(k *config.IKEv2, out *ikev2.Remote) {
	if len(k.MyID) > 0 {
		if id, ok := c.identity(k.MyID[0], "my_id"); ok {
			out.MyID = id
		}
	}
	for _, id := range k.PeersID {
		if id.Type == config.IDIPAddr && id.Address.Kind == config.AddressMacro && id.Address.Macro.Any() {
			out.PeerIDs = append(out.PeerIDs, anyAddressID)
			continue
		}
		if compiled, ok := c.identity(id, "peers_id"); ok {
			out.PeerIDs = append(out.PeerIDs, compiled)
		}
	}
}

// anyAddressID is peers_id ipaddr IP_ANY: for the engine the unspecified
// address stands for any address of either family.
var anyAddressID = ikev2.Identity{Type: message.ID_IPV4_ADDR, Data: netip.IPv4Unspecified().AsSlice()}

// identity compiles one identity (RFC 7296 §3.5).
func (c *compiler) identity(id config.ID, directive string) (ikev2.Identity, bool) {
	switch id.Type {
	case config.IDIPAddr:
		return c.addressIdentity(id, directive)
	case config.IDEmail:
		return ikev2.Identity{Type: message.ID_RFC822_ADDR, Data: []byte(id.Value)}, true
	case config.IDFQDN:
		return ikev2.Identity{Type: message.ID_FQDN, Data: []byte(id.Value)}, true
	case config.IDKeyID:
		if !id.File {
			return ikev2.Identity{Type: message.ID_KEY_ID, Data: []byte(id.Value)}, true
		}
		data, err := os.ReadFile(id.Value)
		if err == nil && len(data) > 0 && len(data) <= maxSecret {
			return ikev2.Identity{Type: message.ID_KEY_ID, Data: data}, true
		}
		if err == nil {
			c.find(config.Error, id.Pos, "keyid-file", "", "%s: %s holds %d octets; an identity has 1 to %d", directive, id.Value, len(data), maxSecret)
		} else {
			c.find(config.Error, id.Pos, "keyid-file", "`keyid tag TEXT` takes the text itself", "%s: %v", directive, err)
		}
	default:
		c.find(config.Error, id.Pos, "id-type", "use ipaddr, fqdn, email or keyid", "%s %v is not built yet", directive, id.Type)
	}
	return ikev2.Identity{}, false
}

func (c *compiler) addressIdentity(id config.ID, directive string) (ikev2.Identity, bool) {
	addr := id.Address.Addr
	if id.Address.Kind == config.AddressMacro {
		for _, p := range c.expand(id.Address) {
			if a := p.Addr(); !a.IsLoopback() && !a.IsLinkLocalUnicast() {
				addr = a
				break
			}
		}
		if !addr.IsValid() {
			c.find(config.Error, id.Pos, "id-address", "write the address itself", "%s %v: this host has no such address", directive, id.Address)
			return ikev2.Identity{}, false
		}
	}
	if !addr.IsValid() {
		c.find(config.Error, id.Pos, "id-address", "", "%s %q is not an address", directive, id.Value)
		return ikev2.Identity{}, false
	}
	if addr.Is4() {
		return ikev2.Identity{Type: message.ID_IPV4_ADDR, Data: addr.AsSlice()}, true
	}
	return ikev2.Identity{Type: message.ID_IPV6_ADDR, Data: addr.WithZone("").AsSlice()}, true
}

// readSharedKey reads the pre-shared key. The octets of the file are the key, all
// of them, as in the original; only the configuration says that they are hexadecimal
// (RFC 7296 §2.15), so that no file that is in use becomes another key.
func (c *compiler) readSharedKey(k *config.IKEv2) []byte {
	if k.PreSharedKey == "" {
		return nil // config has said so where a key is needed
	}
	key, err := c.o.ReadSecret(k.PreSharedKey)
	switch {
	case err != nil:
		c.find(config.Error, k.PreSharedKeyPos, "key-file", secretHint(k.PreSharedKey, err), "pre_shared_key %s: %v", k.PreSharedKey, err)
	case len(key) == 0:
		c.find(config.Error, k.PreSharedKeyPos, "key-file", secretHint(k.PreSharedKey, errEmpty), "pre_shared_key %s: %v", k.PreSharedKey, errEmpty)
	case k.PreSharedKeyHex:
		if key, err = fromHex(key); err != nil {
			c.find(config.Error, k.PreSharedKeyPos, "key-hex", "leave hex out, if the octets of the file are the key", "pre_shared_key hex %s: %v", k.PreSharedKey, err)
		}
	case looksHex(key):
		c.find(config.Warning, k.PreSharedKeyPos, "key-hex", fmt.Sprintf("write: pre_shared_key hex %q; if the digits are meant", k.PreSharedKey),
			"pre_shared_key %s: the file begins with 0x and holds hexadecimal digits; its octets as they stand are the key", k.PreSharedKey)
	case key[len(key)-1] == '\n':
		c.find(config.Advice, k.PreSharedKeyPos, "key-newline", "write the file without it, as `printf %s SECRET` does",
			"pre_shared_key %s: the newline at the end of the file is part of the key", k.PreSharedKey)
	}
	return key
}

// postQuantumKey reads the PPK (RFC 8784), the octets of the file ppk/ID.bin
// beside the configuration. Without the file nothing is compiled: nobody shall
// believe in a protection that is not there.
func (c *compiler) postQuantumKey(k *config.IKEv2, out *ikev2.Remote) {
	if !k.UsePPK {
		if k.PPKMandatory {
			c.find(config.Error, k.Pos, "ppk", "write use_ppk on", "ppk_mandatory is on and use_ppk is off")
		}
		return
	}
	if k.PPKID == "" || len(k.PPKID) > maxPPKID || strings.HasPrefix(k.PPKID, ".") || strings.ContainsAny(k.PPKID, "/\x00") {
		c.find(config.Error, k.PPKIDPos, "ppk-id", "", "use_ppk needs a ppk_id that can be the name of a file: 1 to %d octets, without / and not beginning with a point", maxPPKID)
		return
	}
	path := filepath.Join(filepath.Dir(c.cfg.Path), "ppk", k.PPKID+".bin")
	secret, err := c.o.ReadSecret(path)
	if err == nil && len(secret) == 0 {
		err = errEmpty
	}
	if err != nil {
		c.find(config.Error, k.PPKIDPos, "ppk-file", secretHint(path, err), "ppk_id %q: %s: %v", k.PPKID, path, err)
		return
	}
	out.PPK = &ikev2.PPK{ID: append([]byte{ppkFixed}, k.PPKID...), Secret: secret, Mandatory: k.PPKMandatory}
}

const (
	ppkFixed = 2   // PPK_ID_FIXED (RFC 8784 §5.1)
	maxPPKID = 200 // octets
)
