package agent

import (
	"errors"
	"io/fs"

	"racoon2/config"
)

// files looks at the files that nothing is compiled from. It does so when a time
// is given: a change of addresses is no reason to read them again.
func (c *compiler) files() {
	if c.o.Now.IsZero() {
		return
	}
	if i := c.cfg.Interface; i.SPMDPassword != "" {
		c.secret(config.Error, i.SPMDPasswordPos, "spmd_password", i.SPMDPassword)
	}
	for _, r := range remotes(c.cfg) {
		if r.Certificates != nil {
			c.certificates(r)
		}
		if k := r.IKEv2; k != nil && k.RADIUS != nil && k.RADIUS.SecretFile != "" {
			// EAP is not built: nothing uses it yet.
			c.secret(config.Warning, k.RADIUS.SecretPos, "radius_secret_file", k.RADIUS.SecretFile)
		}
	}
}

// secret looks at a file that holds one, without keeping it.
func (c *compiler) secret(s config.Severity, pos config.Pos, directive, path string) {
	data, err := c.o.ReadSecret(path)
	if err == nil && len(data) == 0 {
		err = errEmpty
	}
	clear(data)
	if err != nil {
		c.find(s, pos, "key-file", secretHint(path, err), "%s %s: %v", directive, path, err)
	}
}

var errEmpty = errors.New("the file is empty")

// secretHint says what to do about a secret that cannot be used.
func secretHint(path string, err error) string {
	switch {
	case errors.Is(err, errEmpty):
		return "rm " + path + "; racoon2 psk generate " + path
	case errors.Is(err, fs.ErrNotExist):
		return "make one: racoon2 psk generate " + path
	case errors.Is(err, config.ErrOpenToOthers):
		return "chmod 600 " + path
	case errors.Is(err, config.ErrOwner):
		return "chown it to the user that runs racoon2"
	}
	return ""
}
