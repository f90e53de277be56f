package kernel

// MoveTemplates moves those of a policy's templates to the new end points that
// the migration means; false when it means none of them.
func (m Migrate) MoveTemplates(templates []Template) (found bool) {
	for i := range templates {
		t := &templates[i]
		if t.Proto != m.Proto || t.Mode != m.Mode || m.ReqID != 0 && t.ReqID != m.ReqID {
			continue
		}
		if t.Mode == Tunnel {
			if t.Src != m.OldSrc || t.Dst != m.OldDst {
				continue
			}
			t.Src, t.Dst = m.NewSrc, m.NewDst
		}
		found = true
	}
	return found
}
