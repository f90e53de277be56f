package sim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"racoon2/kink"
)

// Realm is the Kerberos of a scenario with KINK: one KDC with every principal.
// Its messages have the real ones' fields and meaning in another form, and cheap
// cryptography; package kink/kerberos has the real one.
type Realm struct {
	// TicketLife is the life of tickets; 0 is ten hours.
	TicketLife time.Duration
	// Skew is how far clocks may differ; 0 is five minutes.
	Skew time.Duration
	// OnlyUserToUser has the KDC give user-to-user tickets alone.
	OnlyUserToUser bool
}

// kdc is the running Realm.
type kdc struct {
	Realm
	w      *World
	down   bool
	serial int
	keys   map[string][]byte // session keys by ticket
	kvno   map[string]int    // of principals' service keys
	tgts   map[string]int    // of principals' latest TGTs
}

func newKDC(w *World, r Realm) *kdc {
	if r.TicketLife == 0 {
		r.TicketLife = 10 * time.Hour
	}
	if r.Skew == 0 {
		r.Skew = 5 * time.Minute
	}
	return &kdc{Realm: r, w: w, keys: make(map[string][]byte), kvno: make(map[string]int), tgts: make(map[string]int)}
}

// What a ticket and an AP-REQ say. Who may read a ticket is written on it.
type (
	simTicket struct {
		ID, Client, Server string
		KVNO, TGT          int // TGT is 0 for one under the service key
		Ends               time.Time
	}
	simAPReq struct {
		Ticket simTicket
		CTime  time.Time
		Sum    []byte // over the time, under the session key
	}
	simTGT struct {
		Principal string
		Serial    int
	}
)

// issue gives a ticket.
func (k *kdc) issue(client, server string, tgt []byte) (*heldTicket, error) {
	if k.down {
		return nil, errors.New("no KDC answers")
	}
	t := simTicket{Client: client, Server: server, KVNO: k.kvno[server], Ends: k.w.Now().Add(k.TicketLife).Truncate(time.Second)}
	switch {
	case tgt != nil:
		var claimed simTGT
		if json.Unmarshal(tgt, &claimed) != nil || claimed.Principal != server || claimed.Serial != k.tgts[server] {
			return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_BADMATCH, Reason: "the TGT is not the server's"}
		}
		t.TGT = claimed.Serial
	case k.OnlyUserToUser:
		return nil, &kink.KRBError{Code: kink.KDC_ERR_MUST_USE_USER2USER}
	}
	k.serial++
	key := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("session key"), k.w.scenario.Seed<<20|uint64(k.serial)))
	t.ID = fmt.Sprint(k.serial)
	k.keys[t.ID] = key[:16]
	return &heldTicket{simTicket: t, key: key[:16], used: make(map[time.Time]bool)}, nil
}

// login gives a principal a new TGT.
func (k *kdc) login(principal string) int {
	k.tgts[principal]++
	return k.tgts[principal]
}

// heldTicket is a ticket with its session key: kink.Ticket.
type heldTicket struct {
	simTicket
	key  []byte
	used map[time.Time]bool
	ends time.Time // by its host's clock
}

func (t *heldTicket) Local() string      { return t.Client }
func (t *heldTicket) Peer() string       { return t.Server }
func (t *heldTicket) Expires() time.Time { return t.ends }
func (t *heldTicket) UserToUser() bool   { return t.TGT != 0 }

func (t *heldTicket) APReq(now time.Time, offset time.Duration, _ io.Reader) ([]byte, kink.ClientSession, error) {
	ctime := now.Add(offset).Truncate(time.Microsecond)
	for t.used[ctime] {
		ctime = ctime.Add(time.Microsecond)
	}
	t.used[ctime] = true
	req := simAPReq{Ticket: t.simTicket, CTime: ctime, Sum: simMAC(t.key, "authenticator", ctime)}
	b, err := json.Marshal(req)
	return b, &simSession{key: t.key, local: t.Client, peer: t.Server, ticket: t.simTicket, ends: t.ends, ctime: ctime}, err
}

func simMAC(key []byte, what string, at time.Time) []byte {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s %d", what, at.UnixMicro())
	return m.Sum(nil)[:12]
}

// hostKerberos is one principal's Kerberos in one life of its host: kink.Kerberos.
type hostKerberos struct {
	kdc       *kdc
	h         *Host
	principal string
	kvno      int // of the keytab
	tgt       int
	start     time.Time // by the host's clock; authenticators from before are refused
	seen      map[string]bool
	cache     map[string]*heldTicket
}

func newHostKerberos(h *Host, principal string) *hostKerberos {
	k := h.w.kdc
	return &hostKerberos{
		kdc: k, h: h, principal: principal, kvno: k.kvno[principal], tgt: k.login(principal), start: h.clock(),
		seen: make(map[string]bool), cache: make(map[string]*heldTicket),
	}
}

// fetch is the job behind kink.FetchTicket.
func (k *hostKerberos) fetch(f kink.FetchTicket) (kink.Ticket, error) {
	until := f.Until
	if now := k.h.clock(); until.Before(now) {
		until = now
	}
	t := k.cache[f.Peer]
	if t != nil && !f.Evict && f.TGT == nil && !t.ends.Before(until) && (!f.UserToUser || t.UserToUser()) {
		return t, nil
	}
	if f.UserToUser && f.TGT == nil {
		return nil, &kink.KRBError{Code: kink.KDC_ERR_MUST_USE_USER2USER}
	}
	fresh, err := k.kdc.issue(k.principal, f.Peer, f.TGT)
	if err != nil {
		return nil, err
	}
	fresh.ends = fresh.Ends.Add(k.h.spec.Skew)
	k.cache[f.Peer] = fresh
	return fresh, nil
}

// Accept refuses in the order of kink/kerberos. The end of a ticket is by the KDC's clock.
func (k *hostKerberos) Accept(now time.Time, apReq []byte, _ netip.Addr) (kink.ServerSession, error) {
	var req simAPReq
	if json.Unmarshal(apReq, &req) != nil {
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_MSG_TYPE}
	}
	t := req.Ticket
	key := k.kdc.keys[t.ID]
	switch {
	case t.Server != k.principal:
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_NOT_US}
	case t.TGT != 0 && t.TGT != k.tgt:
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_NOKEY, LostTGT: true, Local: k.principal}
	case t.TGT == 0 && t.KVNO != k.kvno:
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_BADKEYVER, Local: k.principal}
	case key == nil || !hmac.Equal(req.Sum, simMAC(key, "authenticator", req.CTime)):
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_BAD_INTEGRITY, Local: k.principal}
	}
	s := &simSession{key: key, local: k.principal, peer: t.Client, ticket: t, ctime: req.CTime, host: k, ends: t.Ends.Add(k.h.spec.Skew)}
	switch {
	case now.Sub(req.CTime).Abs() > k.kdc.Skew, req.CTime.Before(k.start):
		return s, &kink.KRBError{Code: kink.KRB_AP_ERR_SKEW}
	case k.h.w.Now().Sub(t.Ends) > k.kdc.Skew:
		return s, &kink.KRBError{Code: kink.KRB_AP_ERR_TKT_EXPIRED}
	}
	return s, nil
}

func (k *hostKerberos) TGT(_ time.Time, principal string) ([]byte, error) {
	if principal != k.principal {
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_NOT_US}
	}
	return json.Marshal(simTGT{principal, k.tgt})
}

func (k *hostKerberos) Error(now time.Time, code kink.KRBCode, _ string, s kink.ServerSession) ([]byte, error) {
	m := kink.KRBErrorMessage{Code: code, STime: now}
	if own, ok := s.(*simSession); ok && own != nil {
		m.CTime = own.ctime
	}
	return json.Marshal(m)
}

func (k *hostKerberos) ParseError(octets []byte) (m kink.KRBErrorMessage, err error) {
	return m, json.Unmarshal(octets, &m)
}

// simSession is a session at either end.
type simSession struct {
	key         []byte
	local, peer string
	ticket      simTicket
	ends        time.Time
	ctime       time.Time
	host        *hostKerberos // of a server
}

func (s *simSession) MIC(data []byte) ([]byte, error) {
	m := hmac.New(sha256.New, s.key)
	m.Write(data)
	return m.Sum(nil)[:12], nil
}

func (s *simSession) MICSize() int { return 12 }

func (s *simSession) VerifyMIC(data, sum []byte) error {
	if want, _ := s.MIC(data); !hmac.Equal(want, sum) {
		return errors.New("the checksum is wrong")
	}
	return nil
}

func (s *simSession) aead() (cipher.AEAD, error) {
	b, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func (s *simSession) Encrypt(plain []byte) ([]byte, error) {
	a, err := s.aead()
	if err != nil {
		return nil, err
	}
	nonce, _ := s.MIC(append(simMAC(s.key, s.local, s.ctime), plain...))
	return append(nonce, a.Seal(nil, nonce, plain, nil)...), nil
}

func (s *simSession) Decrypt(b []byte) ([]byte, error) {
	a, err := s.aead()
	if err != nil || len(b) < 12 {
		return nil, errors.New("too short")
	}
	return a.Open(nil, b[:12], b[12:], nil)
}

func (s *simSession) PRF(data []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write(data)
	return m.Sum(nil)
}

func (s *simSession) EType() int32       { return 19 }
func (s *simSession) Local() string      { return s.local }
func (s *simSession) Peer() string       { return s.peer }
func (s *simSession) Expires() time.Time { return s.ends }
func (s *simSession) UserToUser() bool   { return s.ticket.TGT != 0 }
func (s *simSession) Time() time.Time    { return s.ctime }

func (s *simSession) APRep(time.Time, io.Reader) ([]byte, error) {
	return simMAC(s.key, "AP-REP", s.ctime), nil
}

func (s *simSession) VerifyAPRep(octets []byte) error {
	if !hmac.Equal(octets, simMAC(s.key, "AP-REP", s.ctime)) {
		return errors.New("it is to another authenticator")
	}
	return nil
}

func (s *simSession) Commit(time.Time) error {
	id := fmt.Sprint(s.ticket.ID, s.ctime.UnixMicro())
	if s.host.seen[id] {
		return &kink.KRBError{Code: kink.KRB_AP_ERR_REPEAT}
	}
	s.host.seen[id] = true
	return nil
}
