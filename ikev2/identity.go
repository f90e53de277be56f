package ikev2

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"racoon2/ikev2/message"
)

// String is the identity as a configuration writes it: "fqdn a.example.test".
func (id Identity) String() string {
	switch id.Type {
	case message.ID_IPV4_ADDR, message.ID_IPV6_ADDR:
		if a, ok := netip.AddrFromSlice(id.Data); ok {
			return "ipaddr " + a.String()
		}
	case message.ID_FQDN:
		return "fqdn " + printable(id.Data)
	case message.ID_RFC822_ADDR:
		return "email " + printable(id.Data)
	case message.ID_KEY_ID:
		return "keyid " + printable(id.Data)
	}
	return id.Type.String() + " " + hex.EncodeToString(id.Data[:min(len(id.Data), 64)])
}

// printable keeps an identity of the peer's from writing into a terminal or a log.
func printable(b []byte) string {
	b = b[:min(len(b), 256)]
	for _, c := range b {
		if c < 0x21 || c > 0x7e {
			return "0x" + hex.EncodeToString(b)
		}
	}
	return string(b)
}

// acceptsID checks a peer's identity against peers_id; "" is accepted.
func (r *Remote) acceptsID(id Identity) string {
	for _, want := range r.PeerIDs {
		if sameIdentity(want, id) || want.wildcard() && isAddressID(id) {
			return ""
		}
	}
	if !r.VerifyID {
		return ""
	}
	return fmt.Sprintf("ID: peer is %s; %s accepts %s", id, r.place(), identityList(r.PeerIDs))
}

// sameIdentity compares type and data; names of hosts and mailboxes without
// regard to the case of ASCII letters. Identities of many peers are compared, and
// their length is the peers' choice: nothing is copied.
func sameIdentity(a, b Identity) bool {
	if a.Type != b.Type || len(a.Data) != len(b.Data) {
		return false
	}
	if a.Type != message.ID_FQDN && a.Type != message.ID_RFC822_ADDR {
		return bytes.Equal(a.Data, b.Data)
	}
	for i, c := range a.Data {
		if lower(c) != lower(b.Data[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func isAddressID(id Identity) bool {
	return id.Type == message.ID_IPV4_ADDR || id.Type == message.ID_IPV6_ADDR
}

// wildcard says that the identity stands for any address (peers_id ipaddr IP_ANY).
func (id Identity) wildcard() bool {
	if !isAddressID(id) {
		return false
	}
	a, ok := netip.AddrFromSlice(id.Data)
	return ok && a.IsUnspecified()
}

func identityList(list []Identity) string {
	if len(list) == 0 {
		return "no identity"
	}
	names := make([]string, len(list))
	for i, id := range list {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}
