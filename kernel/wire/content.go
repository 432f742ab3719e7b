package wire

import "encoding/json"

// The contents of the messages, one struct each. Field names and meanings are
// the protocol's. Objects that the protocol requires are maps that the sender
// must not leave nil where the field has no omitempty; [Object] helps.

// Object is a JSON object that is {} when nil.
type Object map[string]any

// MarshalJSON writes a nil object as {}.
func (o Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return empty, nil
	}
	return Marshal(map[string]any(o))
}

// List is a JSON array that is [] when nil, and Strings one of strings.
type (
	List[T any] []T
	Strings     = List[string]
)

// MarshalJSON writes a nil slice as [].
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return Marshal([]T(l))
}

// Status is the status of replies and, with other values, what [KernelStatus]
// carries on iopub.
type Status string

// The statuses of a reply.
const (
	OK      Status = "ok"
	Failed  Status = "error"
	Aborted Status = "aborted"
)

// Fault is the part of a reply that says what went wrong, and with Status the
// whole reply to a request that could not be handled.
type Fault struct {
	EName     string  `json:"ename"`
	EValue    string  `json:"evalue"`
	Traceback Strings `json:"traceback"`
}

// FaultReply answers any request that failed.
type FaultReply struct {
	Status Status `json:"status"`
	Fault
}

// Empty is the content of messages that have none.
type Empty struct{}

// LanguageInfo describes the language to front ends.
type LanguageInfo struct {
	Name              string `json:"name"`
	Version           string `json:"version"`
	MIMEType          string `json:"mimetype"`
	FileExtension     string `json:"file_extension"`
	PygmentsLexer     string `json:"pygments_lexer,omitempty"`
	CodemirrorMode    any    `json:"codemirror_mode,omitempty"`
	NbconvertExporter string `json:"nbconvert_exporter,omitempty"`
}

// HelpLink is an entry of the Help menu.
type HelpLink struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// KernelInfoReply answers kernel_info_request.
type KernelInfoReply struct {
	Status                Status       `json:"status"`
	ProtocolVersion       string       `json:"protocol_version"`
	Implementation        string       `json:"implementation"`
	ImplementationVersion string       `json:"implementation_version"`
	LanguageInfo          LanguageInfo `json:"language_info"`
	Banner                string       `json:"banner"`
	Debugger              bool         `json:"debugger"`
	HelpLinks             []HelpLink   `json:"help_links"`
	SupportedFeatures     Strings      `json:"supported_features"`
}

// ConnectReply answers connect_request (deprecated since 5.1): the ports.
type ConnectReply struct {
	Status  Status `json:"status"`
	Shell   int    `json:"shell_port"`
	IOPub   int    `json:"iopub_port"`
	Stdin   int    `json:"stdin_port"`
	Control int    `json:"control_port"`
	HB      int    `json:"hb_port"`
}

// ExecuteRequest asks to run a cell.
type ExecuteRequest struct {
	Code            string            `json:"code"`
	Silent          bool              `json:"silent"`
	StoreHistory    *bool             `json:"store_history,omitempty"` // nil: true unless silent
	UserExpressions map[string]string `json:"user_expressions"`
	AllowStdin      *bool             `json:"allow_stdin,omitempty"`   // nil: true
	StopOnError     *bool             `json:"stop_on_error,omitempty"` // nil: true
}

// ExecuteReply ends a cell.
type ExecuteReply struct {
	Status          Status    `json:"status"`
	ExecutionCount  int       `json:"execution_count"`
	Payload         List[any] `json:"payload"`
	UserExpressions Object    `json:"user_expressions"` // a MIMEBundleReply or a FaultReply each
	*Fault                    // nil when Status is ok, and only then
}

// SetNextInput and Page are entries of an [ExecuteReply]'s payload: text for
// the next cell, or for this one, and a text to show aside.
type SetNextInput struct {
	Source  string `json:"source"` // set_next_input
	Text    string `json:"text"`
	Replace bool   `json:"replace"`
}

// Page is described at [SetNextInput].
type Page struct {
	Source string `json:"source"` // page
	Data   Object `json:"data"`
	Start  int    `json:"start"` // line
}

// ExecuteInput tells all clients which code runs.
type ExecuteInput struct {
	Code           string `json:"code"`
	ExecutionCount int    `json:"execution_count"`
}

// MIMEBundle is an output in one or several forms.
type MIMEBundle struct {
	Data     Object `json:"data"`
	Metadata Object `json:"metadata"`
}

// MIMEBundleReply is the value of a user expression.
type MIMEBundleReply struct {
	Status Status `json:"status"`
	MIMEBundle
}

// ExecuteResult is the value of a cell's last expression.
type ExecuteResult struct {
	ExecutionCount int `json:"execution_count"`
	MIMEBundle
}

// Transient is what an output carries that notebooks do not keep.
type Transient struct {
	DisplayID string `json:"display_id,omitempty"`
}

// DisplayData is an output, and an update_display_data its replacement.
type DisplayData struct {
	MIMEBundle
	Transient Transient `json:"transient"`
}

// Stream is text on standard output ("stdout") or error ("stderr").
type Stream struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// ClearOutput removes the outputs of the running cell.
type ClearOutput struct {
	Wait bool `json:"wait"`
}

// KernelStatus is busy, idle or starting.
type KernelStatus struct {
	ExecutionState string `json:"execution_state"`
}

// IOPubWelcome is the first message of a subscription (JEP 65).
type IOPubWelcome struct {
	Subscription string `json:"subscription"`
}

// CompleteRequest asks for completions at a position in code points.
type CompleteRequest struct {
	Code      string `json:"code"`
	CursorPos *int   `json:"cursor_pos"` // nil: the end
}

// CompleteReply carries matches that replace the code from CursorStart to
// CursorEnd, both in code points.
type CompleteReply struct {
	Status      Status  `json:"status"`
	Matches     Strings `json:"matches"`
	CursorStart int     `json:"cursor_start"`
	CursorEnd   int     `json:"cursor_end"`
	Metadata    Object  `json:"metadata"`
}

// TypedMatch is an element of the metadata entry _jupyter_types_experimental,
// which JupyterLab and VS Code show beside a completion.
type TypedMatch struct {
	Start     int    `json:"start"`
	End       int    `json:"end"`
	Text      string `json:"text"`
	Type      string `json:"type"`
	Signature string `json:"signature,omitempty"`
}

// TypedMatchesKey is the metadata key of a list of [TypedMatch].
const TypedMatchesKey = "_jupyter_types_experimental"

// InspectRequest asks what stands at a position in code points.
type InspectRequest struct {
	Code        string `json:"code"`
	CursorPos   *int   `json:"cursor_pos"`
	DetailLevel int    `json:"detail_level"`
}

// InspectReply answers it.
type InspectReply struct {
	Status Status `json:"status"`
	Found  bool   `json:"found"`
	MIMEBundle
}

// IsCompleteRequest asks whether code is ready to run.
type IsCompleteRequest struct {
	Code string `json:"code"`
}

// IsCompleteReply answers complete, incomplete, invalid or unknown; an
// incomplete one proposes the next line's indent.
type IsCompleteReply struct {
	Status string
	Indent string
}

// MarshalJSON gives an indent only where the protocol has one.
func (r IsCompleteReply) MarshalJSON() ([]byte, error) {
	if r.Status != "incomplete" {
		return Marshal(Object{"status": r.Status})
	}
	return Marshal(Object{"status": r.Status, "indent": r.Indent})
}

// HistoryRequest asks for past cells.
type HistoryRequest struct {
	Output     bool   `json:"output"`
	Raw        bool   `json:"raw"`
	AccessType string `json:"hist_access_type"` // range, tail or search
	Session    int    `json:"session"`          // range: 0 is this one, -1 the one before
	Start      int    `json:"start"`
	Stop       *int   `json:"stop"` // nil: to the end
	N          *int   `json:"n"`
	Pattern    string `json:"pattern"` // search: a glob
	Unique     bool   `json:"unique"`
}

// HistoryReply answers with (session, line, input) or, when output was asked
// for, (session, line, (input, output)).
type HistoryReply struct {
	Status  Status  `json:"status"`
	History [][]any `json:"history"`
}

// CommInfoRequest asks which comms are open, of one target or of all.
type CommInfoRequest struct {
	TargetName string `json:"target_name"`
}

// CommInfo is one open comm.
type CommInfo struct {
	TargetName string `json:"target_name"`
}

// CommInfoReply lists the open comms.
type CommInfoReply struct {
	Status Status              `json:"status"`
	Comms  map[string]CommInfo `json:"comms"`
}

// CommOpen opens a comm, from either side.
type CommOpen struct {
	CommID       string          `json:"comm_id"`
	TargetName   string          `json:"target_name"`
	TargetModule string          `json:"target_module,omitempty"`
	Data         json.RawMessage `json:"data"`
}

// CommMsg carries data over an open comm.
type CommMsg struct {
	CommID string          `json:"comm_id"`
	Data   json.RawMessage `json:"data"`
}

// CommClose ends a comm.
type CommClose struct {
	CommID string          `json:"comm_id"`
	Data   json.RawMessage `json:"data"`
}

// ShutdownRequest asks the kernel to end; Restart says that it will be started
// again.
type ShutdownRequest struct {
	Restart bool `json:"restart"`
}

// ShutdownReply answers it.
type ShutdownReply struct {
	Status  Status `json:"status"`
	Restart bool   `json:"restart"`
}

// StatusReply answers requests that have nothing else to say, such as
// interrupt_request.
type StatusReply struct {
	Status Status `json:"status"`
}

// InputRequest asks the user for a line.
type InputRequest struct {
	Prompt   string `json:"prompt"`
	Password bool   `json:"password"`
}

// InputReply is that line.
type InputReply struct {
	Status Status `json:"status,omitempty"`
	Value  string `json:"value"`
}

// DebugRequest and DebugReply carry the Debug Adapter Protocol.
type DebugRequest struct {
	Seq       int             `json:"seq"`
	Type      string          `json:"type"`
	Command   string          `json:"command"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
}

// DebugReply is the response to a [DebugRequest].
type DebugReply struct {
	Seq        int             `json:"seq"`
	Type       string          `json:"type"` // response
	RequestSeq int             `json:"request_seq"`
	Success    bool            `json:"success"`
	Command    string          `json:"command"`
	Message    string          `json:"message,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"`
}

// DebugEvent is published on iopub while debugging.
type DebugEvent struct {
	Seq   int             `json:"seq"`
	Type  string          `json:"type"` // event
	Event string          `json:"event"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// CreateSubshellReply, DeleteSubshellRequest and ListSubshellReply are the
// messages of JEP 91.
type CreateSubshellReply struct {
	Status     Status `json:"status"`
	SubshellID string `json:"subshell_id"`
}

// DeleteSubshellRequest ends a subshell.
type DeleteSubshellRequest struct {
	SubshellID string `json:"subshell_id"`
}

// ListSubshellReply lists the subshells.
type ListSubshellReply struct {
	Status     Status  `json:"status"`
	SubshellID Strings `json:"subshell_id"`
}
