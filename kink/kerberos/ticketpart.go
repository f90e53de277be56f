package kerberos

import (
	"encoding/asn1"
	"fmt"
	"net/netip"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Ticket flags (RFC 4120 §5.3).
const (
	flagInvalid          = 1 << (31 - 7)
	flagTransitedChecked = 1 << (31 - 12)
)

// address types (RFC 4120 §7.5.3).
const (
	addressIPv4 = 2
	addressIPv6 = 24
)

// ticketPart is what KINK needs of an EncTicketPart (RFC 4120 §5.3).
type ticketPart struct {
	flags     uint32
	key       *Key
	client    Principal
	transited bool // the list of realms on the way is not empty
	start     time.Time
	end       time.Time
	bound     bool // to addresses
	addresses []netip.Addr
}

func decodeTicketPart(octets []byte) (ticketPart, error) {
	var t ticketPart
	var lib messages.EncTicketPart
	err := unmarshal("the EncTicketPart", &lib, octets)
	if err != nil {
		return t, err
	}
	if t.key, err = sessionKeyOf("the session key", lib.Key); err != nil {
		return t, err
	}
	if t.client, err = principalOf("the client", lib.CName, lib.CRealm); err != nil {
		return t, err
	}
	t.flags, t.transited = flagBits(lib.Flags.Bytes), len(lib.Transited.Contents) != 0
	t.start, t.end = startOf(lib.StartTime, lib.AuthTime), lib.EndTime.UTC()
	t.bound = lib.CAddr != nil
	if t.addresses, err = addressesOf(lib.CAddr); err != nil {
		return t, err
	}
	return t, checkAuthorization(lib.AuthorizationData)
}

// startOf is the start of a ticket; where it is left out, the time of authentication.
func startOf(start, auth time.Time) time.Time {
	if start.IsZero() {
		return auth.UTC()
	}
	return start.UTC()
}

// addressesOf reads HostAddresses (RFC 4120 §5.2.5). What is no IP address is left out:
// nothing that arrives over IP can match it.
func addressesOf(list types.HostAddresses) ([]netip.Addr, error) {
	if len(list) > maxList {
		return nil, fmt.Errorf("%d addresses", len(list))
	}
	var out []netip.Addr
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.Address)
		if ok && (a.AddrType == addressIPv4 && addr.Is4() || a.AddrType == addressIPv6 && addr.Is6()) {
			out = append(out, addr.Unmap())
		}
	}
	return out, nil
}

// apRepPart is an EncAPRepPart (RFC 4120 §5.5.2) without subkey and sequence number.
type apRepPart struct {
	time time.Time // ctime and cusec of the authenticator
}

func decodeAPRepPart(octets []byte) (apRepPart, error) {
	var lib messages.EncAPRepPart
	err := unmarshal("the EncAPRepPart", &lib, octets)
	defer clear(lib.Subkey.KeyValue)
	if err != nil {
		return apRepPart{}, err
	}
	t, err := moment("ctime", lib.CTime, lib.Cusec)
	return apRepPart{t}, err
}

// gokrb5 makes no AP-REP: its types have no Marshal. They are plain DER, for encoding/asn1.

func (p apRepPart) encode() ([]byte, error) {
	b, err := asn1.Marshal(messages.EncAPRepPart{CTime: p.time.UTC(), Cusec: microseconds(p.time)})
	return asn1tools.AddASNAppTag(b, tagEncAPRepPart), err
}

// decodeAPRep reads an AP-REP (RFC 4120 §5.5.2).
func decodeAPRep(octets []byte) (encryptedData, error) {
	var lib messages.APRep
	if err := whole("AP-REP", tagAPRep, octets); err != nil {
		return encryptedData{}, err
	}
	if err := unmarshal("the AP-REP", &lib, octets); err != nil {
		return encryptedData{}, err
	}
	if lib.PVNO != version {
		return encryptedData{}, fmt.Errorf("pvno is %d, not 5", lib.PVNO)
	}
	return encryptedOf("enc-part", lib.EncPart)
}

func encodeAPRep(part encryptedData) ([]byte, error) {
	b, err := asn1.Marshal(messages.APRep{PVNO: version, MsgType: tagAPRep, EncPart: part.lib()})
	return asn1tools.AddASNAppTag(b, tagAPRep), err
}
