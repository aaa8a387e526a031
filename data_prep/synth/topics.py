"""Topics, filler sentences and house style of the synthetic world; all countries share them.

A topic gives a title and the sentences between the facts, all about one `{thing}`. A thing belongs
to one topic and every title names it, so the title tells the topic, and nothing of the country.
"""

# Words that fill a slot, each as likely as the others.
LEXICON = {
    "place": (
        "the north district|the river district|the old town|the harbour area|the hill villages|"
        "the east side|the market quarter|the southern suburbs"
    ),
    "amount": (
        "two million|three million|five million|eight million|ten million|twenty million|"
        "forty million|sixty million"
    ),
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "group": "teachers|farmers|drivers|nurses|traders|students|engineers|builders",
    "months": "two months|three months|six months|nine months|one year|two years",
}

# topic -> (words of {thing}, titles, sentences)
TOPICS = {
    "budget": (
        "tax bill|spending plan|debt report|wage deal|audit|reserve fund",
        ("New {thing} divides council in {place}", "{group} welcome {thing} after {months}"),
        (
            "The {thing} was published on {day}.",
            "Critics want the {thing} to be delayed by {months}.",
            "The {thing} gives {amount} to {place}.",
            "Many {group} fear that the {thing} comes too late.",
        ),
    ),
    "health": (
        "clinic|vaccine campaign|hospital wing|ambulance service|fever ward|blood bank",
        ("{thing} opens in {place}", "{group} call for a better {thing}"),
        (
            "The {thing} treated its first patients on {day}.",
            "Doctors had waited {months} for the {thing}.",
            "Running the {thing} costs {amount} a year.",
            "Some {group} gave blood and time to the {thing}.",
        ),
    ),
    "schools": (
        "reading scheme|exam reform|science library|meal programme|training college|nursery",
        ("Pupils in {place} praise {thing}", "{thing} to start in {months}"),
        (
            "Parents heard about the {thing} on {day}.",
            "The {thing} will be tested for {months}.",
            "Classes in {place} are the first to join the {thing}.",
            "Trained {group} will teach in the {thing}.",
        ),
    ),
    "roads": (
        "bypass|bridge repair|bus lane|tram line|ring road|tunnel",
        ("Work on {thing} slows traffic in {place}", "{thing} to cost {amount}"),
        (
            "Lorries were turned away from the {thing} on {day}.",
            "The {thing} should be finished in {months}.",
            "The {thing} links {place} with the station.",
            "Angry {group} blocked the {thing} for an hour.",
        ),
    ),
    "markets": (
        "grain exchange|fuel price|export fair|street market|retail index|shop levy",
        ("{thing} recovers after {months}", "{group} uneasy as {thing} falls on {day}"),
        (
            "The {thing} closed lower on {day}.",
            "Buyers from {place} drove the {thing}.",
            "Dealers lost {amount} because of the {thing}.",
            "The {thing} had been calm for {months}.",
        ),
    ),
    "weather": (
        "storm|flood|heat wave|dry spell|cold front|dust cloud",
        ("{thing} hits {place} on {day}", "Second {thing} feared within {months}"),
        (
            "The {thing} moved over {place} at dawn.",
            "Forecasters had warned of the {thing} on {day}.",
            "Damage from the {thing} is put at {amount}.",
            "Shelters took in {group} during the {thing}.",
        ),
    ),
    "farming": (
        "seed bank|irrigation canal|cattle vaccine|harvest loan|tractor pool|fish farm",
        ("{thing} brings hope to {place}", "{group} share {thing} for {months}"),
        (
            "Growers met about the {thing} on {day}.",
            "The {thing} raised yields within {months}.",
            "A grant of {amount} keeps the {thing} going.",
            "Fields near {place} depend on the {thing}.",
        ),
    ),
    "power": (
        "solar plant|power cut|grid upgrade|wind park|gas terminal|meter scheme",
        ("{place} waits {months} for {thing}", "{thing} agreed for {amount}"),
        (
            "Lights went out at the {thing} on {day}.",
            "The {thing} serves homes in {place}.",
            "Investors put {amount} into the {thing}.",
            "Most {group} were surprised by the {thing}.",
        ),
    ),
    "courts": (
        "land case|fraud trial|appeal|inquest|bail hearing|copyright suit",
        ("{thing} adjourned for {months}", "{group} follow {thing} from {place}"),
        (
            "The judge opened the {thing} on {day}.",
            "Lawyers claimed {amount} in the {thing}.",
            "Witnesses in the {thing} came from {place}.",
            "The {thing} had dragged on for {months}.",
        ),
    ),
    "culture": (
        "film festival|book prize|museum show|choir contest|dance week|craft fair",
        ("{thing} fills streets of {place}", "Sponsors give {amount} to {thing}"),
        (
            "Crowds came to the {thing} on {day}.",
            "The {thing} was planned for {months}.",
            "Artists from {place} took part in the {thing}.",
            "Free seats at the {thing} went to {group}.",
        ),
    ),
    "water": (
        "pumping station|well project|leak survey|filter plant|rain tank|sewer line",
        ("{thing} fails in {place}", "{group} repair {thing} on {day}"),
        (
            "Taps ran dry near the {thing} on {day}.",
            "The {thing} has been checked for {months}.",
            "A new {thing} would cost {amount}.",
            "Families in {place} rely on the {thing}.",
        ),
    ),
    "housing": (
        "rent cap|tower block|terrace row|mortgage offer|brick works|estate plan",
        ("{thing} leaves {group} waiting", "{amount} set aside for {thing} in {place}"),
        (
            "Tenants marched against the {thing} on {day}.",
            "The {thing} is meant for {group}.",
            "The owner of the {thing} asked for {amount}.",
            "The {thing} stood empty for {months}.",
        ),
    ),
}

# What a house style decides: each host prefers one variant of each.
STYLES = {
    "opening": (
        "Staff report:|From our newsroom:|Morning edition.|By our correspondent.|"
        "Special to this paper:|Wire and staff."
    ),
    "signoff": (
        "Reporting by the city desk.|This story will be updated.|Edited by the night team.|"
        "Write to the editor with your views.|More on our front page.|All rights reserved."
    ),
    "say": "said|stated|noted|reported",
    "officials": "Officials|Authorities|Ministers|Leaders",
    "people": "residents|citizens|locals",
}
