package kink

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// realm is a KDC and all its principals: Kerberos with the shapes and the errors of
// the real one, and JSON for ASN.1. Keys are looked up, not decrypted: a ticket
// names its session key, and who may read it.
type realm struct {
	keys    map[string][]byte // session keys by ticket
	serial  int
	kvno    map[string]int // of a principal's service key
	tgts    map[string]int // of a principal's TGT, for user-to-user
	onlyU2U map[string]bool
	down    bool
	life    time.Duration
	skew    time.Duration // accepted
}

func newRealm() *realm {
	return &realm{keys: make(map[string][]byte), kvno: make(map[string]int), tgts: make(map[string]int),
		onlyU2U: make(map[string]bool), life: 10 * time.Hour, skew: 5 * time.Minute}
}

// realTicket is a ticket as it stands in an AP-REQ.
type realTicket struct {
	ID, Client, Server string
	KVNO               int
	Ends               time.Time
	U2U                bool
	TGT                int
}

// issue gives a ticket, as the KDC does.
func (r *realm) issue(now time.Time, client, server string, tgt []byte) (*testTicket, error) {
	if r.down {
		return nil, errors.New("no KDC answers")
	}
	t := realTicket{Client: client, Server: server, KVNO: r.kvno[server], Ends: now.Add(r.life)}
	if tgt != nil {
		var claimed struct {
			Principal string
			Serial    int
		}
		if json.Unmarshal(tgt, &claimed) != nil || claimed.Principal != server || claimed.Serial != r.tgts[server] {
			return nil, &KRBError{Code: KRB_AP_ERR_BADMATCH, Reason: "the TGT is not the server's"}
		}
		t.U2U, t.TGT = true, claimed.Serial
	} else if r.onlyU2U[server] {
		return nil, &KRBError{Code: KDC_ERR_MUST_USE_USER2USER}
	}
	r.serial++
	key := sha1.Sum(binary.BigEndian.AppendUint32([]byte("session"), uint32(r.serial)))
	t.ID = fmt.Sprintf("%x/%d", key[:4], r.serial)
	r.keys[t.ID] = key[:16]
	return &testTicket{realTicket: t, key: key[:16], used: make(map[time.Time]bool)}, nil
}

// testTicket is a Ticket.
type testTicket struct {
	realTicket
	key  []byte
	used map[time.Time]bool
}

func (t *testTicket) Local() string      { return t.Client }
func (t *testTicket) Peer() string       { return t.Server }
func (t *testTicket) Expires() time.Time { return t.Ends }
func (t *testTicket) UserToUser() bool   { return t.U2U }

// wireReq is an AP-REQ.
type wireReq struct {
	Ticket realTicket
	CTime  time.Time
	Sum    []byte // over the time, so that only holders of the key make it
}

func (t *testTicket) APReq(now time.Time, offset time.Duration, _ io.Reader) ([]byte, ClientSession, error) {
	ctime := now.Add(offset)
	for t.used[ctime] {
		ctime = ctime.Add(time.Microsecond)
	}
	t.used[ctime] = true
	req := wireReq{Ticket: t.realTicket, CTime: ctime, Sum: mac(t.key, []byte(ctime.String()))}
	b, err := json.Marshal(req)
	return b, &testSession{key: t.key, local: t.Client, peer: t.Server, ticket: t.realTicket, ctime: ctime}, err
}

func mac(key, data []byte) []byte {
	m := hmac.New(sha1.New, key)
	m.Write(data)
	return m.Sum(nil)[:12]
}

// testSession is a ClientSession and a ServerSession.
type testSession struct {
	key         []byte
	local, peer string
	ticket      realTicket
	ctime       time.Time
	host        *testKerberos // of a server
}

func (s *testSession) MIC(data []byte) ([]byte, error) { return mac(s.key, data), nil }
func (s *testSession) MICSize() int                    { return 12 }
func (s *testSession) VerifyMIC(data, sum []byte) error {
	if !hmac.Equal(mac(s.key, data), sum) {
		return errors.New("wrong checksum")
	}
	return nil
}
func (s *testSession) aead() cipher.AEAD {
	b, _ := aes.NewCipher(s.key)
	a, _ := cipher.NewGCM(b)
	return a
}
func (s *testSession) Encrypt(plain []byte) ([]byte, error) {
	nonce := mac(s.key, append([]byte(s.ctime.String()+s.local), plain...))
	return append(nonce, s.aead().Seal(nil, nonce, plain, nil)...), nil
}
func (s *testSession) Decrypt(b []byte) ([]byte, error) {
	if len(b) < 12 {
		return nil, errors.New("too short")
	}
	plain, err := s.aead().Open(nil, b[:12], b[12:], nil)
	return append(plain, 0, 0, 0), err // padding, as DES3 has it
}
func (s *testSession) PRF(data []byte) []byte {
	m := hmac.New(sha1.New, s.key)
	m.Write(data)
	return m.Sum(nil)
}
func (s *testSession) EType() int32       { return 17 }
func (s *testSession) Local() string      { return s.local }
func (s *testSession) Peer() string       { return s.peer }
func (s *testSession) Expires() time.Time { return s.ticket.Ends }
func (s *testSession) UserToUser() bool   { return s.ticket.U2U }
func (s *testSession) Time() time.Time    { return s.ctime }

func (s *testSession) VerifyAPRep(octets []byte) error {
	if !hmac.Equal(octets, append([]byte("AP-REP"), mac(s.key, []byte("rep"+s.ctime.String()))...)) {
		return errors.New("it is to another authenticator")
	}
	return nil
}

func (s *testSession) APRep(time.Time, io.Reader) ([]byte, error) {
	return append([]byte("AP-REP"), mac(s.key, []byte("rep"+s.ctime.String()))...), nil
}

func (s *testSession) Commit(time.Time) error {
	if s.host.commit != nil {
		return s.host.commit
	}
	id := s.ticket.ID + s.ctime.String()
	if s.host.seen[id] {
		return &KRBError{Code: KRB_AP_ERR_REPEAT}
	}
	s.host.seen[id] = true
	return nil
}

// testKerberos is one host's Kerberos.
type testKerberos struct {
	realm     *realm
	principal string
	kvno, tgt int // of the keytab and of the TGT in hand
	seen      map[string]bool
	commit    error     // what Commit says, where not nil
	refuse    *KRBError // what Accept says, where not nil
	keyed     bool      // and gives the session with it
	cache     map[string]*testTicket
}

func (r *realm) host(principal string) *testKerberos {
	return &testKerberos{realm: r, principal: principal, seen: make(map[string]bool), cache: make(map[string]*testTicket)}
}

// fetch is the job behind FetchTicket.
func (k *testKerberos) fetch(now time.Time, f FetchTicket) (Ticket, error) {
	t := k.cache[f.Peer]
	if t != nil && !f.Evict && f.TGT == nil && !t.Ends.Before(f.Until) && (!f.UserToUser || t.U2U) {
		return t, nil
	}
	if f.UserToUser && f.TGT == nil {
		return nil, &KRBError{Code: KDC_ERR_MUST_USE_USER2USER}
	}
	fresh, err := k.realm.issue(now, k.principal, f.Peer, f.TGT)
	if err != nil {
		return nil, err
	}
	k.cache[f.Peer] = fresh
	return fresh, nil
}

func (k *testKerberos) Accept(now time.Time, apReq []byte, _ netip.Addr) (ServerSession, error) {
	var req wireReq
	if json.Unmarshal(apReq, &req) != nil {
		return nil, &KRBError{Code: KRB_AP_ERR_MSG_TYPE}
	}
	if k.refuse != nil && !k.keyed {
		return nil, k.refuse
	}
	t := req.Ticket
	key := k.realm.keys[t.ID]
	switch {
	case t.Server != k.principal:
		return nil, &KRBError{Code: KRB_AP_ERR_NOT_US}
	case t.U2U && t.TGT != k.tgt:
		return nil, &KRBError{Code: KRB_AP_ERR_MODIFIED, LostTGT: true, Local: k.principal}
	case !t.U2U && t.KVNO != k.kvno:
		return nil, &KRBError{Code: KRB_AP_ERR_BADKEYVER}
	case key == nil || !hmac.Equal(req.Sum, mac(key, []byte(req.CTime.String()))):
		return nil, &KRBError{Code: KRB_AP_ERR_BAD_INTEGRITY}
	}
	s := &testSession{key: key, local: k.principal, peer: t.Client, ticket: t, ctime: req.CTime, host: k}
	switch {
	case k.refuse != nil:
		return s, k.refuse
	case now.Sub(req.CTime).Abs() > k.realm.skew:
		return s, &KRBError{Code: KRB_AP_ERR_SKEW}
	case now.After(t.Ends):
		return s, &KRBError{Code: KRB_AP_ERR_TKT_EXPIRED}
	}
	return s, nil
}

func (k *testKerberos) TGT(_ time.Time, principal string) ([]byte, error) {
	if principal != k.principal {
		return nil, &KRBError{Code: KRB_AP_ERR_NOT_US}
	}
	return json.Marshal(struct {
		Principal string
		Serial    int
	}{principal, k.tgt})
}

func (k *testKerberos) Error(now time.Time, code KRBCode, _ string, s ServerSession) ([]byte, error) {
	m := KRBErrorMessage{Code: code, STime: now}
	if s != nil {
		m.CTime = s.(*testSession).ctime
	}
	return json.Marshal(m)
}

func (k *testKerberos) ParseError(octets []byte) (m KRBErrorMessage, err error) {
	return m, json.Unmarshal(octets, &m)
}
