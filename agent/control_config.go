package agent

import (
	"net/netip"
	"path/filepath"
	"reflect"

	"racoon2/config"
)

// The paths that stand where nothing else is said.
const (
	DefaultConfig = "/etc/racoon2/racoon2.conf"
	DefaultRunDir = "/run/racoon2"
)

// ControlSockets says where the control interface is and what opens it.
type ControlSockets struct {
	Unix     []string         // paths
	TCP      []netip.AddrPort // loopback addresses
	Password string           // path of the password file
	// Generated says that the agent makes the password file when it starts.
	Generated bool
}

// The names in the run directory, or beside a configured socket.
const (
	socketName   = "spmif"
	passwordName = "spmd.pwd"
)

// Control finds the control interface of a configuration, with runDir for what
// it leaves open; "" is DefaultRunDir.
func Control(cfg *config.Config, runDir string) ControlSockets {
	return controlOf(cfg.Interface, runDir)
}

func controlOf(i config.Interface, runDir string) ControlSockets {
	if runDir == "" {
		runDir = DefaultRunDir
	}
	c := ControlSockets{Password: i.SPMDPassword}
	for _, a := range i.SPMD {
		switch a.Kind {
		case config.AddressUnix:
			c.Unix = append(c.Unix, a.Name)
		case config.AddressInet:
			c.TCP = append(c.TCP, netip.AddrPortFrom(a.Addr, a.Port))
		}
	}
	if len(c.Unix) == 0 && len(c.TCP) == 0 {
		c.Unix = []string{filepath.Join(runDir, socketName)}
	}
	if c.Password == "" {
		c.Generated = true
		c.Password = filepath.Join(runDir, passwordName)
		if len(c.Unix) > 0 {
			c.Password = PasswordBeside(c.Unix[0])
		}
	}
	return c
}

// PasswordBeside is the password file that goes with a control socket when
// nothing else is known.
func PasswordBeside(socket string) string {
	return filepath.Join(filepath.Dir(socket), passwordName)
}

func (c ControlSockets) equal(o ControlSockets) bool { return reflect.DeepEqual(c, o) }
