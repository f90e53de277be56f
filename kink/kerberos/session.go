package kerberos

import (
	"crypto/subtle"
	"io"
	"sync"
	"time"

	"racoon2/kink"
)

// session is one session key in use: kink.Session.
type session struct {
	key        *Key
	local      string
	peer       string
	end        time.Time // by this host's clock
	userToUser bool
	shortPRF   bool
	rand       io.Reader // confounders
}

func (s *session) MIC(data []byte) ([]byte, error) { return s.key.Checksum(usageKINKChecksum, data) }

func (s *session) VerifyMIC(data, sum []byte) error {
	return s.key.VerifyChecksum(usageKINKChecksum, data, sum)
}

func (s *session) MICSize() int { return s.key.ChecksumSize() }

func (s *session) Encrypt(plain []byte) ([]byte, error) {
	return s.key.Encrypt(usageKINKEncrypt, s.rand, plain)
}

func (s *session) Decrypt(cipher []byte) ([]byte, error) {
	plain, err := s.key.Decrypt(usageKINKEncrypt, cipher)
	if err != nil {
		return nil, krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY, "%w", err)
	}
	return plain, nil
}

// PRF cannot fail: the key's length was checked when it was made.
func (s *session) PRF(data []byte) []byte {
	out, err := s.key.PRF(data, s.shortPRF)
	if err != nil {
		return nil
	}
	return out
}

func (s *session) EType() int32       { return int32(s.key.etype) }
func (s *session) Local() string      { return s.local }
func (s *session) Peer() string       { return s.peer }
func (s *session) Expires() time.Time { return s.end }
func (s *session) UserToUser() bool   { return s.userToUser }

// clientSession is a session with an authenticator of this host: kink.ClientSession.
type clientSession struct {
	session
	at time.Time
}

// Time is the authenticator's ctime and cusec, which includes the KDC's and the
// peer's clock offset.
func (s *clientSession) Time() time.Time { return s.at }

// VerifyAPRep: ctime and cusec must be those of the authenticator (RFC 4120 §3.2.5).
func (s *clientSession) VerifyAPRep(octets []byte) error {
	part, err := decodeAPRep(octets)
	if err != nil {
		return krbErrorf(kink.KRB_AP_ERR_MSG_TYPE, "AP-REP: %w", err)
	}
	plain, err := part.open(s.key, usageAPRepPart)
	if err != nil {
		return krbErrorf(kink.KRB_AP_ERR_BAD_INTEGRITY, "AP-REP: %w", err)
	}
	defer clear(plain)
	rep, err := decodeAPRepPart(plain)
	if err != nil {
		return krbErrorf(kink.KRB_AP_ERR_MUT_FAIL, "AP-REP: %w", err)
	}
	if !rep.time.Equal(s.at) {
		return krbErrorf(kink.KRB_AP_ERR_MUT_FAIL, "the AP-REP answers another authenticator: its time is %s, not %s", stamp(rep.time), stamp(s.at))
	}
	return nil
}

// serverSession is a session with an authenticator of the peer: kink.ServerSession.
type serverSession struct {
	session
	at      time.Time
	offset  time.Duration // of the KDC's clock
	replays *replayCache
	entry   replayKey
}

func (s *serverSession) Commit(now time.Time) error {
	return s.replays.insert(now.Add(s.offset), s.at, s.offset, s.peer, s.entry)
}

// APRep echoes ctime and cusec (RFC 4120 §3.2.4); no subkey, no sequence number.
func (s *serverSession) APRep(_ time.Time, rand io.Reader) ([]byte, error) {
	plain, err := apRepPart{time: s.at}.encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	part, err := seal(s.key, usageAPRepPart, rand, plain)
	if err != nil {
		return nil, err
	}
	return encodeAPRep(part)
}

// ticket is a service ticket of this host: kink.Ticket.
type ticket struct {
	session
	host   *Host
	client Principal
	raw    []byte // DER of the Ticket
	under  []byte // the TGT that a user-to-user ticket is under

	mu      sync.Mutex
	message *ticketMessage // raw, taken apart when it is used first
	used    map[int64]bool // microseconds of the latest authenticators
	ring    [256]int64
	next    int
}

// APReq makes an AP-REQ without subkey, sequence number and checksum: KINK has a
// checksum of its own over the whole message (RFC 4430 §4.1, §4.2.1).
func (t *ticket) APReq(now time.Time, offset time.Duration, rand io.Reader) ([]byte, kink.ClientSession, error) {
	at := t.fresh(now.Add(offset + t.host.offset(t.client.Realm)))
	auth, err := authenticator{client: t.client, time: at}.encode()
	if err != nil {
		return nil, nil, err
	}
	defer clear(auth)
	part, err := seal(t.key, usageAPReqAuth, rand, auth)
	if err != nil {
		return nil, nil, err
	}
	message, err := t.takenApart()
	if err != nil {
		return nil, nil, err
	}
	req := apReq{options: apMutualRequired, ticket: message, authenticator: part}
	if t.userToUser {
		req.options |= apUseSessionKey
	}
	octets, err := req.encode()
	if err != nil {
		return nil, nil, err
	}
	return octets, &clientSession{session: t.session, at: at}, nil
}

func (t *ticket) takenApart() (ticketMessage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.message == nil {
		m, err := decodeTicket(t.raw)
		if err != nil {
			return m, err
		}
		t.message = &m
	}
	return *t.message, nil
}

// fresh is a time in microseconds that none of the latest authenticators had. The
// clock and its offset may go back, so that "later than the last" would not do.
func (t *ticket) fresh(at time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == nil {
		t.used = make(map[int64]bool, len(t.ring))
	}
	micro := at.UnixMicro()
	for t.used[micro] {
		micro++
	}
	if len(t.used) == len(t.ring) {
		delete(t.used, t.ring[t.next])
	}
	t.used[micro], t.ring[t.next] = true, micro
	t.next = (t.next + 1) % len(t.ring)
	return time.UnixMicro(micro).UTC()
}

// isUnder says that a user-to-user ticket is under the TGT.
func (t *ticket) isUnder(tgt []byte) bool {
	return t.userToUser && subtle.ConstantTimeCompare(t.under, tgt) == 1
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
