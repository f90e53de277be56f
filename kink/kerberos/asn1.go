package kerberos

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Messages are taken apart and put together by gokrb5 (messages, types). It takes octets
// behind a message, names of any length and form, and numbers of any size: what KINK
// relies on is checked here, before and after it.

// APPLICATION tags, which are the message types too (RFC 4120 §5.10).
const (
	tagTicket       = 1
	tagASRep        = 11
	tagTGSRep       = 13
	tagAPReq        = 14
	tagAPRep        = 15
	tagEncAPRepPart = 27
	tagKRBError     = 30
)

const (
	version = 5 // pvno, tkt-vno, authenticator-vno

	// maxMessage bounds what is taken apart: a KINK message is shorter than 64 KiB
	// (RFC 4430 §4.1), and no KDC sends more than that.
	maxMessage = 1<<16 - 1

	maxText       = 1024 // octets of one string
	maxComponents = 16   // of a principal's name
	maxList       = 64   // elements of any other list
)

const classApplication = 0x40

func applicationTag(n int) asn1.Tag { return asn1.Tag(n|classApplication) | 0x20 }

// whole says that octets are one element with an APPLICATION tag, and nothing behind it.
func whole(what string, tag int, octets []byte) error {
	s := cryptobyte.String(octets)
	var inner cryptobyte.String
	switch {
	case len(octets) > maxMessage:
		return fmt.Errorf("%s of %d octets is too long", what, len(octets))
	case !s.ReadASN1(&inner, applicationTag(tag)):
		return fmt.Errorf("no %s: APPLICATION tag %d is missing or its length is wrong", what, tag)
	case !s.Empty():
		return fmt.Errorf("%d octets follow the %s", len(s), what)
	}
	return nil
}

// unmarshal has gokrb5 decode into m. Its errors may quote what they are about, which can be long
// and secret, so that none of them is passed on.
func unmarshal(what string, m interface{ Unmarshal([]byte) error }, octets []byte) error {
	failed := false
	err := guard(what, func() error {
		failed = m.Unmarshal(octets) != nil
		return nil
	})
	if failed {
		return fmt.Errorf("%s is malformed", what)
	}
	return err
}

// marshal has gokrb5 encode m.
func marshal(what string, m interface{ Marshal() ([]byte, error) }) ([]byte, error) {
	var out []byte
	err := guard(what, func() (err error) {
		out, err = m.Marshal()
		return err
	})
	return out, err
}

// printable: control characters have no place in a name and would disturb logs.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7F {
			return false
		}
	}
	return true
}

// principalOf is a name of a message. The name type is a hint that takes no part in
// comparisons (RFC 4120 §6.2), and is not kept.
func principalOf(what string, name types.PrincipalName, realm string) (Principal, error) {
	p := Principal{Name: name.NameString, Realm: realm}
	if err := p.check(); err != nil {
		return p, fmt.Errorf("%s: %w", what, err)
	}
	return p, nil
}

func nameOf(p Principal, kind int32) types.PrincipalName {
	return types.PrincipalName{NameType: kind, NameString: p.Name}
}

// moment joins a KerberosTime, whole seconds, with its Microseconds (RFC 4120 §5.2.3, §5.2.4).
func moment(what string, seconds time.Time, micro int) (time.Time, error) {
	if micro < 0 || micro > 999999 {
		return time.Time{}, fmt.Errorf("%s: %d microseconds", what, micro)
	}
	return seconds.UTC().Add(time.Duration(micro) * time.Microsecond), nil
}

func microseconds(t time.Time) int { return t.Nanosecond() / 1000 }

// flagBits reads a KerberosFlags (RFC 4120 §5.2.8): bit 0 is the highest; bits after the
// 32nd mean nothing yet. gokrb5's IsFlagSet panics where there are fewer.
func flagBits(octets []byte) uint32 {
	var out [4]byte
	copy(out[:], octets)
	return binary.BigEndian.Uint32(out[:])
}

// encryptedData is EncryptedData (RFC 4120 §5.2.9).
type encryptedData struct {
	etype  EType
	kvno   uint32 // 0: none; a user-to-user ticket has none
	cipher []byte
}

// encryptedOf takes a kvno above 2³¹ also as the negative number that some write.
func encryptedOf(what string, v types.EncryptedData) (encryptedData, error) {
	if int64(v.KVNO) < -1<<31 || int64(v.KVNO) >= 1<<32 {
		return encryptedData{}, fmt.Errorf("%s: kvno %d", what, v.KVNO)
	}
	return encryptedData{etype: EType(v.EType), kvno: uint32(v.KVNO), cipher: v.Cipher}, nil
}

func (v encryptedData) lib() types.EncryptedData {
	return types.EncryptedData{EType: int32(v.etype), KVNO: int(v.kvno), Cipher: v.cipher}
}

// Authorization data that may be passed over: what is if-relevant, and what is for
// KDCs alone (RFC 4120 §5.2.6.1, §5.2.6.4).
const (
	adIfRelevant      = 1
	adMandatoryForKDC = 8
)

// checkAuthorization looks at types alone: a PAC is none of KINK's business. An
// element that is neither if-relevant nor for KDCs makes the authentication fail (RFC
// 4120 §5.2.6, MUST).
func checkAuthorization(list types.AuthorizationData) error {
	if len(list) > maxList {
		return fmt.Errorf("%d elements of authorization data", len(list))
	}
	for _, ad := range list {
		if ad.ADType != adIfRelevant && ad.ADType != adMandatoryForKDC {
			return fmt.Errorf("authorization data of type %d must be understood, and is not", ad.ADType)
		}
	}
	return nil
}

// sessionKeyOf is the key of a message, whose octets it wipes.
func sessionKeyOf(what string, v types.EncryptionKey) (*Key, error) {
	defer clear(v.KeyValue)
	k, err := NewKey(EType(v.KeyType), v.KeyValue)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return k, nil
}
