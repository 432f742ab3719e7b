package display

import (
	"fmt"
	"math"
	"strconv"
)

// A Slider is a number that the reader of the notebook moves. Each move runs
// OnChange, and what it prints or shows stands below the slider, in the place
// of what the move before had put there.
//
//	s := &display.Slider{Label: "β", Min: 1e-4, Max: 1, Value: 0.01, Log: true, OnChange: func(beta float64) {
//		sol, _ := convex.Solve(ctx, convex.Problem{X: X, Y: y, Beta: beta}, nil)
//		display.Show(sol)
//	}}
//	s.Show()
//
// Later cells read s.Get(). Where nobody can move it (gonvex exec, a page, a
// front end without widgets) it is a line of text with its value, and OnChange
// has run once.
type Slider struct {
	Label    string
	Min, Max float64 // 0 and 0 stand for 0 and 1
	Value    float64 // where it starts, and where it is; brought between Min and Max
	Step     float64 // 0: a hundredth of the range; 1 for Integer
	Integer  bool    // whole numbers only
	Log      bool    // steps are even on a logarithmic scale; Min must be positive
	// OnChange is called with the value when the slider is shown and each time
	// the reader moves it, between cells. Its ctx ends on interrupt.
	OnChange func(value float64)

	control
}

// Show shows the slider. It panics when its bounds are not a range.
func (s *Slider) Show() {
	if s.Min == 0 && s.Max == 0 {
		s.Max = 1
	}
	switch {
	case !(s.Min < s.Max) || math.IsInf(s.Min, 0) || math.IsInf(s.Max, 0):
		panic(fmt.Sprintf("display.Slider: Min %v and Max %v are not a range: Min must be below Max, both finite", s.Min, s.Max))
	case s.Log && (s.Min <= 0 || s.Integer):
		panic(fmt.Sprintf("display.Slider: Log needs Min above 0 and no Integer; Min is %v", s.Min))
	case math.IsNaN(s.Value) || math.IsNaN(s.Step) || s.Step < 0 || math.IsInf(s.Step, 0):
		panic(fmt.Sprintf("display.Slider: Value %v and Step %v must be numbers, Step not negative", s.Value, s.Step))
	}
	v := s.set(s.Value)
	step := s.Step
	if step == 0 {
		step = (s.Max - s.Min) / 100
	}
	name, view := "FloatSliderModel", "FloatSliderView"
	state := map[string]any{
		"description": s.Label, "min": s.Min, "max": s.Max, "step": step, "value": v, "continuous_update": true,
		"orientation": "horizontal", "readout": true, "readout_format": ".3g", "disabled": false,
	}
	switch {
	case s.Integer:
		if s.Step == 0 {
			step = 1
		}
		name, view = "IntSliderModel", "IntSliderView"
		state["readout_format"] = "d"
		state["step"] = math.Max(1, math.Round(step))
	case s.Log:
		name, view = "FloatLogSliderModel", "FloatLogSliderView"
		lo, hi := math.Log10(s.Min), math.Log10(s.Max)
		state["base"], state["min"], state["max"] = 10.0, lo, hi
		if s.Step == 0 {
			step = (hi - lo) / 100
		}
		state["step"] = step
	}
	s.show(name, view, "SliderStyleModel", state, s.bundle(), func(changed map[string]any) {
		if v, ok := changed["value"].(float64); ok {
			s.moved(v)
		}
	}, s.callback(v))
}

// set brings v between the bounds and stores it.
func (s *Slider) set(v float64) float64 {
	if s.Integer {
		v = math.Round(v)
	}
	v = math.Min(math.Max(v, s.Min), s.Max)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Value = v
	return v
}

func (s *Slider) callback(v float64) func() {
	if s.OnChange == nil {
		return nil
	}
	return func() { s.OnChange(v) }
}

func (s *Slider) moved(v float64) { s.run(s.callback(s.set(v))) }

// Get returns the present value.
func (s *Slider) Get() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Value
}

// Set moves the slider from code, as if the reader had.
func (s *Slider) Set(v float64) {
	v = s.set(v)
	s.put("value", v)
	s.run(s.callback(v))
}

// bundle is the slider where it cannot be moved.
func (s *Slider) bundle() Bundle {
	return staticControl(s.Label, number4(s.Get()), number4(s.Min)+" … "+number4(s.Max))
}

func number4(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// staticControl is the value of a control with its label and what it may be.
func staticControl(label, value, domain string) Bundle {
	h := newPage()
	h.WriteString("<div>")
	text := value
	if label != "" {
		h.text(label + ": ")
		text = label + ": " + value
	}
	h.el("b", "", value)
	if domain != "" {
		h.text(" (" + domain + ")")
		text += " (" + domain + ")"
	}
	h.WriteString("</div>")
	return one(MIMEHTML, h.done(), text)
}
