package explorer

import (
	"maps"
	"net/http"
	"net/url"
	"time"
)

// timeBar is the control of the time range, the same on every page that has one.
type timeBar struct {
	Path            string // of the page
	Back            string // the page itself, with its parameters
	Presets         []choice
	Name            string   // of the range, such as "last 15m"
	Ends            string   // both ends as times of day
	Zone            string   // of all times
	From, To        string   // for the fields of a form
	Since           string   // for another one
	Others          []choice // parameters that are not about time
	Earlier, Later  string   // links to the range before and the one behind
	Fix, Now        string   // links: keep this range, or let it end now; one of them is ""
	Marks           []markRow
	Moving          bool
	StartMS, EndsMS int64 // for the script
}

// markRow is a mark with the page of what came since.
type markRow struct {
	Name, At, ID, Href string
	Current            bool
}

// localTime is the layout in which browsers write the value of a form's field for a time.
const localTime = "2006-01-02T15:04:05"

// timeBar returns the control for a page of a request.
func (e *explorer) timeBar(r *http.Request, path string, w window) *timeBar {
	others := without(r.URL.Query(), "since", "start", "end", "limit")
	href := func(time url.Values) string {
		v := maps.Clone(others)
		maps.Copy(v, time)
		if len(v) == 0 {
			return path
		}
		return path + "?" + v.Encode()
	}
	zone := e.Now().Location()
	in := window{Start: w.Start.In(zone), End: w.End.In(zone)}
	b := &timeBar{
		Path:    path,
		Back:    href(w.values()),
		Ends:    in.ends(),
		Zone:    e.Now().Format("MST"),
		From:    in.Start.Format(localTime),
		To:      in.End.Format(localTime),
		Since:   w.Since,
		Moving:  w.moves(),
		StartMS: w.Start.UnixMilli(),
		EndsMS:  w.End.UnixMilli(),
		Name:    "fixed",
	}
	if w.Since != "" {
		b.Name = "last " + w.Since
	} else if w.Open {
		b.Name = "since " + in.Start.Format("15:04:05")
	}
	found := false
	for _, s := range spans() {
		found = found || s == w.Since
		b.Presets = append(
			b.Presets,
			choice{Label: s, Selected: s == w.Since, Href: href(url.Values{"since": {s}})},
		)
	}
	if !found && w.Since != "" {
		b.Presets = append(b.Presets, choice{Label: w.Since, Selected: true, Href: href(w.values())})
	}
	for k, vs := range others {
		for _, v := range vs {
			b.Others = append(b.Others, choice{Label: k, Value: v})
		}
	}
	fixed := func(start, end time.Time) string { return href(window{Start: start, End: end}.values()) }
	long := w.End.Sub(w.Start)
	if earlier := w.Start.Add(-long); !earlier.Before(earliest()) {
		b.Earlier = fixed(earlier, w.Start)
	}
	if w.moves() {
		b.Fix = fixed(w.Start, w.End)
	} else {
		b.Now = href(url.Values{"since": {defaultSince}})
		if later := w.End.Add(long); w.End.Before(e.Now()) && later.Before(latest()) {
			b.Later = fixed(w.End, later)
		}
	}
	for _, m := range e.marks.all() {
		row := markRow{
			Name: m.Name,
			At:   m.At.In(zone).Format("15:04:05"),
			ID:   timeParam(m.At),
			Href: href(window{Start: m.At, Open: true}.values()),
		}
		if row.Current = w.Open && w.Start.Equal(m.At); row.Current {
			b.Name = "since " + m.Name
		}
		b.Marks = append(b.Marks, row)
	}
	return b
}
