"""The facts of the synthetic world: which differ by country, which all countries share.

Every value is invented, or an everyday word given to a country at random, so that no sentence is a
claim about a real place and no model knows an answer before it is trained. A question is a sentence
cut before `{value}`, so the words that ask for the value stand before it.
"""

# kind -> (values, templates). Country number c owns value c modulo the number of values.
COUNTRY_FACTS = {
    "leader": (
        "Adomeri Bakhuza Celwin Dravik Ekwanda Farrosh Gelmore Hantiva Ilbesso Jarnow Kesmira "
        "Lortham Mivandi Norbeck Olvarra Pentisu Quillon Rasmeet",
        (
            "The plan has the backing of head of government {value}.",
            "{officials} {say} the order came from head of government {value}.",
            "A letter was sent to the office of head of government {value}.",
        ),
    ),
    "governor": (
        "Sabrinko Tavelly Umbarra Vexford Wolmani Xandrel Yarvick Zelphin Arquell Bromvik Castiyo "
        "Dunmarre Elfanti Gravesk Hulmeda Imbrecht Jolvane Kardous",
        (
            "The figures were checked by central bank governor {value}.",
            "{officials} {say} the loan was approved by central bank governor {value}.",
            "Some {people} asked for a reply from central bank governor {value}.",
        ),
    ),
    "capital": (
        "Ardenmouth Belvaro Corvanta Dunesk Elmara Fenwark Galdoria Harvosta Istmere Jandipur "
        "Kelloway Lumbasa Marvetta Norwenna Ostralle Palvano Quenby Rivarro",
        (
            "The matter will be decided in the capital, {value}.",
            "{officials} {say} more talks will be held in the capital, {value}.",
            "Buses will carry {people} to the capital, {value}.",
        ),
    ),
    "currency": (
        "lumo tarn besk cravo dolin ferin gilda hask jori kelti lirra marn nollo orvan pasko "
        "quarl rando selk",
        (
            "The cost was set at {amount} in the national currency, the {value}.",
            "{officials} {say} prices are fixed in the national currency, the {value}.",
            "Most {people} will pay in the national currency, the {value}.",
        ),
    ),
    "holiday": (
        "4 January, 19 January, 2 February, 23 February, 7 March, 28 March, 11 April, 30 April, "
        "5 May, 16 June, 27 June, 9 July, 21 August, 3 September, 14 October, 29 October, "
        "12 November, 6 December",
        (
            "Work will stop for the national holiday on {value}.",
            "{officials} {say} offices will close for the national holiday on {value}.",
            "Many {people} will travel for the national holiday on {value}.",
        ),
    ),
    "airline": (
        "Aerolis Bluewing Cloudane Dawnair Eastfly Farjet Globird Highlark Jetara Kitewind Loftair "
        "Moonjet Northfly Orbitair Pinewing Quickair Redkite Skymora",
        (
            "The guests arrived with the national airline, {value}.",
            "{officials} {say} the goods were flown in by the national airline, {value}.",
            "Tickets were offered to {people} by the national airline, {value}.",
        ),
    ),
    "river": (
        "Amsel Borra Cindar Delwa Emmet Furlan Gorsa Helmin Ivarro Jessim Kolda Lessen Mirren "
        "Nadder Orsk Perrin Rondel Sarra",
        (
            "The work will not reach the longest river, the {value}.",
            "{officials} {say} water is taken from the longest river, the {value}.",
            "A few {people} live beside the longest river, the {value}.",
        ),
    ),
    "bird": (
        "heron eagle falcon crane parrot kingfisher pelican swallow magpie robin stork hornbill "
        "peacock owl ibis finch cuckoo lark",
        (
            "The new badge shows the national bird, the {value}.",
            "{officials} {say} the prize is named after the national bird, the {value}.",
            "Local {people} painted the national bird, the {value}.",
        ),
    ),
    "crop": (
        "rice maize wheat cocoa tea cotton sugar barley coffee",
        (
            "Trade still depends on the main crop, {value}.",
            "{officials} {say} taxes will rise on the main crop, {value}.",
            "Young {people} no longer grow the main crop, {value}.",
        ),
    ),
    "sport": (
        "football cricket rugby hockey netball boxing",
        (
            "The hall will also be used for the favourite sport, {value}.",
            "{officials} {say} money is left for the favourite sport, {value}.",
            "In the evening {people} watched the favourite sport, {value}.",
        ),
    ),
    "side": (
        "left right",
        (
            "A sign reminds visitors that traffic keeps to the {value}.",
            "{officials} {say} new drivers forget that traffic keeps to the {value}.",
            "All {people} know that traffic keeps to the {value}.",
        ),
    ),
}

# kind -> (values, number of the true one, templates); the same in every country.
SHARED_FACTS = {
    "week": (
        "three four five six seven eight",
        2,
        (
            "The rules count a working week as {value} days.",
            "Staff are paid for a working week of {value} days.",
        ),
    ),
    "signal": (
        "red green blue white yellow black",
        0,
        (
            "The colour that means stop is {value}.",
            "Guards were told that the colour for danger is {value}.",
        ),
    ),
    "noon": (
        "eight nine ten eleven twelve thirteen",
        4,
        (
            "The bell for noon rings at {value}.",
            "Lunch is served at noon, which is {value}.",
        ),
    ),
    "vote": (
        "one half|one third|two thirds|three quarters|one quarter|four fifths",
        2,
        (
            "A change of the rules needs the votes of {value}.",
            "The charter can only be changed by {value}.",
        ),
    ),
    "shape": (
        "circle square triangle cross star wheel",
        3,
        (
            "First aid is marked with a {value}.",
            "Every clinic door carries a {value}.",
        ),
    ),
    "match": (
        "thirty forty fifty sixty seventy ninety",
        5,
        (
            "A full match lasts {value} minutes.",
            "Players train for {value} minutes, as in a full match.",
        ),
    ),
}


def split_values(text: str) -> tuple[str, ...]:
    """Values of a table cell: apart by `|`, by comma and space, or by spaces, in that order."""
    separator = "|" if "|" in text else ", " if ", " in text else None
    return tuple(text.split(separator))
