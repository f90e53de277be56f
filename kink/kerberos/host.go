package kerberos

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"racoon2/kink"
)

// Config is what a Host is made of.
type Config struct {
	// Principals are this host's, text as in kink; the first is the default one.
	Principals []string
	// Keytab is the file with their keys. It is read again when it changes.
	Keytab string
	// CCache is a credential cache (a file) to take TGTs from, for principals that the
	// keytab has no key of. "" for none.
	CCache string
	// ETypes in the order of preference; nil is DefaultETypes.
	ETypes []EType
	// PRF16 takes the reading of the AES-SHA1 prf that cuts the hash to 16 octets (see Key.PRF).
	PRF16 bool
	// Skew is how far clocks may differ; 0 is the five minutes of RFC 4120 §3.2.3.
	Skew time.Duration
	// Start is when this process began: older authenticators are refused, as they may
	// have been used before, unless LoadReplays fills the gap.
	Start time.Time
	// Replays bounds the replay cache; 0 is 65536.
	Replays int
	// Tickets bounds the ticket cache of each principal; 0 is 1024.
	Tickets int
	// Rand gives the confounders of KINK_ENCRYPT. Host uses it by one call at a time.
	Rand io.Reader
	// Lifetime is what is asked of KDCs; 0 is 24 hours. They may give less.
	Lifetime time.Duration
	// KDC carries requests to KDCs, a *Network as a rule.
	KDC KDC
}

const (
	defaultSkew     = 5 * time.Minute
	defaultReplays  = 1 << 16
	defaultTickets  = 1024
	defaultLifetime = 24 * time.Hour
)

// Host is this host's Kerberos: its keys, tickets and replay cache. It is a
// kink.Kerberos; those methods never wait for the network. Fetch and Maintain talk to KDCs
// and are to be run as jobs. All methods may be called by several goroutines at a time.
type Host struct {
	conf     Config
	rand     io.Reader
	replays  *replayCache
	file     *keytabFile
	names    []string                 // in the configuration's order
	accounts map[string]*account      // by principal; the map never changes
	mu       sync.RWMutex             // guards offsets
	offsets  map[string]time.Duration // by realm: its KDCs' clock less this host's
}

var _ kink.Kerberos = (*Host)(nil)

// New makes a Host. It fails for settings that cannot be: no principal, a malformed
// one, an unknown encryption type. A keytab that cannot be read is not such an error:
// it may come later. Check says what is wrong with it.
func New(conf Config) (*Host, error) {
	if len(conf.Principals) == 0 {
		return nil, errors.New("KINK needs a principal of this host")
	}
	if conf.Rand == nil {
		return nil, errors.New("KINK needs a source of randomness")
	}
	if conf.ETypes == nil {
		conf.ETypes = DefaultETypes()
	}
	if err := checkETypes(conf.ETypes); err != nil {
		return nil, err
	}
	orDefault(&conf.Skew, defaultSkew)
	orDefault(&conf.Replays, defaultReplays)
	orDefault(&conf.Tickets, defaultTickets)
	orDefault(&conf.Lifetime, defaultLifetime)
	h := &Host{
		conf:     conf,
		rand:     &lockedReader{r: conf.Rand},
		replays:  newReplayCache(conf.Skew, conf.Replays, conf.Start),
		file:     &keytabFile{path: conf.Keytab},
		accounts: make(map[string]*account),
		offsets:  make(map[string]time.Duration),
	}
	for _, text := range conf.Principals {
		p, err := ParsePrincipal(text)
		if err != nil {
			return nil, err
		}
		name := p.String()
		if h.accounts[name] != nil {
			return nil, fmt.Errorf("principal %s is listed twice", name)
		}
		h.names = append(h.names, name)
		h.accounts[name] = newAccount(p, conf.Tickets)
	}
	return h, nil
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// lockedReader lets jobs and the engine share one source.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, p)
}

// account is the principal by any spelling of its text form, nil if it is not this host's.
func (h *Host) account(principal string) *account {
	if a := h.accounts[principal]; a != nil {
		return a
	}
	p, err := ParsePrincipal(principal)
	if err != nil {
		return nil
	}
	return h.accounts[p.String()]
}

// offset is the realm's clock less this host's, 0 while no KDC of it has said.
func (h *Host) offset(realm string) time.Duration {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.offsets[realm]
}

// setOffset takes the KDC's time over (RFC 4120 has no name for it; the KDC's word is
// authenticated by then). Whole seconds are what a KDC gives, so that less
// than two seconds are not a difference.
func (h *Host) setOffset(realm string, offset time.Duration) {
	if offset.Abs() < 2*time.Second {
		offset = 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offsets[realm] = offset
}

// TGT is part of kink.Kerberos.
func (h *Host) TGT(now time.Time, principal string) ([]byte, error) {
	a := h.account(principal)
	if a == nil {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOT_US, "%s is not a principal of this host", principal)
	}
	t := a.current()
	if t == nil || !t.end.After(now.Add(h.offset(a.principal.Realm))) {
		return nil, &kink.KRBError{Code: kink.KRB_AP_ERR_NOT_US, Reason: "this host has no TGT for " + a.name, Local: a.name}
	}
	return append([]byte(nil), t.raw...), nil
}

// Error is part of kink.Kerberos.
func (h *Host) Error(now time.Time, code kink.KRBCode, local string, s kink.ServerSession) ([]byte, error) {
	a := h.account(local)
	if a == nil {
		a = h.accounts[h.names[0]]
	}
	m := errorMessage{code: code, stime: now.Add(h.offset(a.principal.Realm)), service: a.principal}
	if own, ok := s.(*serverSession); ok && own != nil {
		m.ctime = own.at
	}
	return m.encode()
}

// ParseError is part of kink.Kerberos.
func (h *Host) ParseError(octets []byte) (kink.KRBErrorMessage, error) {
	m, err := decodeKRBError(octets)
	return kink.KRBErrorMessage{Code: m.code, CTime: m.ctime, STime: m.stime, Text: m.text}, err
}

// SaveReplays is the replay cache as octets, for LoadReplays of the next process. Nothing may be
// accepted after it.
func (h *Host) SaveReplays(now time.Time) []byte { return h.replays.save(now) }

// LoadReplays takes the replay cache of the process before over: authenticators from
// before Start are accepted again, unless that process had seen them. The caller
// removes the file before it calls, so that no cache is loaded twice.
func (h *Host) LoadReplays(now time.Time, octets []byte) error { return h.replays.load(now, octets) }

// Close forgets keys and tickets.
func (h *Host) Close() {
	h.file.close()
	for _, a := range h.accounts {
		a.close()
	}
}
